import assert from 'node:assert/strict';
import { hva } from '../../../engine/address.js';
import { ZERO_PAGE } from '../../../engine/memory/page-bytes.js';
import {
  createUserMemory,
  mapUser,
  mapUserAt,
  readUser,
  readUserPage,
  reserveUser,
  writeUser,
} from '../../../engine/memory/user-memory.js';

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
});
