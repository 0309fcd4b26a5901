import assert from 'node:assert/strict';
import { gpa, hva, pfn } from '../../../engine/address.js';
import { ZERO_PAGE } from '../../../engine/memory/page-bytes.js';
import { patchPage, plainPage } from '../../../engine/memory/system-memory.js';
import {
  createUserMemory,
  discardUser,
  mapAnonymous,
  mapUser,
  mapUserAt,
  readUser,
  readUserPage,
  reserveUser,
  userPageFrame,
  writeUser,
} from '../../../engine/memory/user-memory.js';
import { rmpUpdate } from '../../../engine/rmp/rmpupdate.js';
import { createBareMachine, run } from '../../support/bare-machine.js';

describe('user memory', () => {
  it('faults outside of mappings', () => {
    const user = createUserMemory();
    const address = mapUser(user, 'a', new Uint8Array(100));
    assert.equal(readUser(user, address, 100)?.length, 100);
    assert.equal(readUser(user, address, 101), undefined);
    assert.equal(readUser(user, 0, 1), undefined);
    assert.equal(readUserPage(user, address), undefined);
    assert.equal(writeUser(user, address + 99, new Uint8Array(2)), false);
  });

  it('refuses writes to read-only mappings', () => {
    const user = createUserMemory();
    assert.equal(writeUser(user, mapUser(user, 'a', new Uint8Array(8), false), new Uint8Array(1)), false);
  });

  it('never writes to the bytes that it was given', () => {
    const user = createUserMemory();
    const bytes = new Uint8Array(4096);
    const address = mapUser(user, 'a', bytes);
    assert.ok(writeUser(user, address + 1, Uint8Array.of(7)));
    assert.equal(bytes[1], 0);
    assert.deepEqual(readUser(user, address, 2), Uint8Array.of(0, 7));
    assert.equal(readUserPage(user, address)?.bytes[1], 7);
  });

  it('reads zeros behind a short file', () => {
    const user = createUserMemory();
    const address = reserveUser(user, 0x3000);
    mapUserAt(user, address, 'file', new Uint8Array(0x1001).fill(1), 0x3000);
    assert.equal(readUserPage(user, address + 0x1000)?.bytes[0], 1);
    assert.equal(readUserPage(user, address + 0x1000)?.bytes[1], 0);
    assert.equal(readUserPage(user, address + 0x2000), ZERO_PAGE);
    assert.deepEqual(readUser(user, address + 0x1000, 2), Uint8Array.of(1, 0));
    assert.equal(readUser(user, address + 0x2fff, 2), undefined);
    assert.ok(writeUser(user, address + 0x2ffe, Uint8Array.of(5, 6)));
    assert.equal(readUserPage(user, address + 0x2000)?.bytes[0xfff], 6);
    assert.equal(readUserPage(user, address)?.bytes[0], 1);
  });

  it('shows the newest mapping of an address', () => {
    const user = createUserMemory();
    mapUserAt(user, hva(0x1000), 'old', Uint8Array.of(1), 1);
    mapUserAt(user, hva(0x1000), 'new', Uint8Array.of(2), 1);
    assert.deepEqual(readUser(user, 0x1000, 1), Uint8Array.of(2));
    mapUserAt(user, hva(0x3000), 'old', Uint8Array.of(3), 1);
    mapUserAt(user, hva(0x3000), 'new', Uint8Array.of(4), 1);
    assert.deepEqual([readUser(user, 0x1000, 1), readUser(user, 0x3000, 1)], [Uint8Array.of(2), Uint8Array.of(4)]);
  });

  it('shares the pages of a file', () => {
    const bytes = new Uint8Array(0x2000);
    const pages = [0, 1].map(() => {
      const user = createUserMemory();
      return readUserPage(user, mapUser(user, 'file', bytes) + 0x1000);
    });
    assert.ok(pages[0] && pages[0] === pages[1]);
  });

  it('reads across mappings that lie side by side, and not across a gap', () => {
    const user = createUserMemory();
    const address = reserveUser(user, 0x3000);
    mapUserAt(user, address, 'first', Uint8Array.of(1, 2), 2);
    mapUserAt(user, hva(address + 2), 'second', Uint8Array.of(3, 4), 2);
    assert.deepEqual(readUser(user, address + 1, 2), Uint8Array.of(2, 3));
    assert.equal(readUser(user, address + 3, 2), undefined);
  });
});

describe('anonymous user memory', () => {
  function ram(length = 0x4000) {
    const machine = createBareMachine();
    return { machine, user: machine.user, address: mapAnonymous(machine.user, machine, 'ram', length) };
  }

  it('reads as zeros and takes no memory', () => {
    const { machine, user, address } = ram(2 ** 40);
    assert.deepEqual(readUser(user, address + 2 ** 39, 2), Uint8Array.of(0, 0));
    assert.equal(readUserPage(user, address), ZERO_PAGE);
    assert.equal(machine.memory.pages.size, 0);
    assert.equal(readUser(user, address + 2 ** 40 - 1, 2), undefined);
  });

  it('gets a frame for a page that is written to', () => {
    const { machine, user, address } = ram();
    assert.ok(writeUser(user, address + 0xfff, Uint8Array.of(1, 2)));
    assert.equal(machine.memory.pages.size, 2);
    assert.deepEqual(readUser(user, address + 0xffe, 4), Uint8Array.of(0, 1, 2, 0));
    assert.equal(writeUser(user, address + 0x3fff, Uint8Array.of(1, 2)), false);
  });

  it('has one frame for a page, with the content that it had', () => {
    const { machine, user, address } = ram();
    mapUserAt(user, address, 'content', new Uint8Array(0x1800).fill(5), 0x1800);
    const frame = userPageFrame(user, machine, hva(address + 0x1123));
    assert.ok(frame !== undefined);
    assert.equal(userPageFrame(user, machine, hva(address + 0x1000)), frame);
    const { bytes } = plainPage(machine.memory, frame).content;
    assert.deepEqual([bytes[0x7ff], bytes[0x800]], [5, 0]);
    assert.equal(userPageFrame(user, machine, hva(0x1000)), undefined);
  });

  it('shows at once what is written to the frame, and the reverse', () => {
    const { machine, user, address } = ram();
    const frame = userPageFrame(user, machine, address);
    assert.ok(frame !== undefined);
    patchPage(machine.memory, frame, 3, Uint8Array.of(9));
    assert.deepEqual(readUser(user, address + 3, 1), Uint8Array.of(9));
    const page = readUserPage(user, address);
    assert.ok(writeUser(user, address + 3, Uint8Array.of(8)));
    assert.equal(plainPage(machine.memory, frame).content.bytes[3], 8);
    // A page that was read is a copy.
    assert.equal(page?.bytes[3], 9);
  });

  it('throws content away, also what was mapped over it', () => {
    const { machine, user, address } = ram();
    mapUserAt(user, hva(address + 0x1000), 'firmware', new Uint8Array(0x2000).fill(7), 0x2000);
    assert.ok(writeUser(user, address, Uint8Array.of(1)));
    const frame = userPageFrame(user, machine, hva(address + 0x1000));
    discardUser(user, address, 0x2000);
    assert.deepEqual(
      [readUser(user, address, 1), readUser(user, address + 0x1000, 1)],
      [Uint8Array.of(0), Uint8Array.of(0)],
    );
    assert.deepEqual(readUser(user, address + 0x2000, 1), Uint8Array.of(7));
    assert.ok(frame !== undefined && machine.memory.free.includes(frame));
    assert.ok(writeUser(user, address + 0x1001, Uint8Array.of(3)));
    assert.deepEqual(readUser(user, address + 0x1000, 3), Uint8Array.of(0, 3, 0));
  });

  it('takes no write to a frame that the RMP gives to somebody', () => {
    const { machine, user, address } = ram();
    const frame = userPageFrame(user, machine, address);
    assert.ok(frame !== undefined);
    run(rmpUpdate(machine, frame, { assigned: true, pageSize2M: false, immutable: false, gpa: gpa(0x1000), asid: 1 }));
    assert.equal(writeUser(user, address, Uint8Array.of(1)), false);
    assert.ok(readUser(user, address, 1));
  });

  it('runs out of memory with the host', () => {
    const { machine, user, address } = ram();
    machine.memory.nextFree = pfn(machine.memory.size / 4096);
    assert.equal(userPageFrame(user, machine, address), undefined);
    assert.equal(writeUser(user, address, Uint8Array.of(1)), false);
  });
});
