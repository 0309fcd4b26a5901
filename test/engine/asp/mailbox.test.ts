import assert from 'node:assert/strict';
import fc from 'fast-check';
import { PAGE_SIZE, pfnOf, type Spa, spa, spaOf } from '../../../engine/address.js';
import { SNP_COMMAND_ID, type SnpCommandName, snpCommandName } from '../../../engine/asp/mailbox/command-id.js';
import { MAILBOX_COMMANDS } from '../../../engine/asp/mailbox/command-table.js';
import { mailboxCommand } from '../../../engine/asp/mailbox/mailbox.js';
import { view } from '../../../engine/bytes.js';
import type { Machine } from '../../../engine/machine.js';
import { writePage } from '../../../engine/memory/system-memory.js';
import { FIRMWARE_STATUS } from '../../../engine/spec/firmware-status.js';
import {
  createBareMachine,
  createInitialisedMachine,
  firmwarePage,
  must,
  newPage,
  POLICY,
  preGuestPage,
  run,
} from '../../support/bare-machine.js';
import { stateOf } from './guest-pages.js';
import { hostBytes } from './refusals/config.js';

type Field = readonly [offset: number, size: 1 | 2 | 4 | 8, value: number | bigint];

function bufferOf(machine: Machine, fields: readonly Field[]): Spa {
  const bytes = new Uint8Array(0x80);
  for (const [offset, size, value] of fields) {
    const v = view(bytes);
    if (size === 8) v.setBigUint64(offset, BigInt(value), true);
    else if (size === 4) v.setUint32(offset, Number(value), true);
    else if (size === 2) v.setUint16(offset, Number(value), true);
    else v.setUint8(offset, Number(value));
  }
  return hostBytes(machine, bytes);
}

const issue = (machine: Machine, name: SnpCommandName, fields: readonly Field[]) =>
  mailboxCommand(machine, SNP_COMMAND_ID[name], bufferOf(machine, fields));

describe('the mailbox', () => {
  it('launches, swaps and ends a guest by raw buffers', () => {
    const machine = createInitialisedMachine();
    const gctx = firmwarePage(machine);
    const C_BIT = 1n << 51n;
    must(issue(machine, 'SNP_GCTX_CREATE', [[0, 8, BigInt(gctx) | C_BIT]]));
    must(
      issue(machine, 'SNP_LAUNCH_START', [
        [0, 8, gctx],
        [8, 8, POLICY],
        [0x20, 1, 0x77],
      ]),
    );
    const guest = machine.asp.guests.get(gctx);
    assert.ok(guest);
    assert.deepEqual([guest.state, guest.policy, guest.gosvw[0]], ['LAUNCH', POLICY, 0x77]);
    const ids = bufferOf(machine, [[4, 4, 9]]);
    must(
      issue(machine, 'SNP_ACTIVATE_EX', [
        [0, 4, 0x20],
        [8, 8, gctx],
        [0x10, 4, 1],
        [0x14, 4, 2],
        [0x18, 8, ids],
      ]),
    );
    assert.deepEqual([guest.asid, guest.apicIds], [1, [0, 9]]);
    const page = preGuestPage(machine, 1, 0x4000);
    must(
      issue(machine, 'SNP_LAUNCH_UPDATE', [
        [0, 8, gctx],
        [8, 4, 1 << 1],
        [0x10, 8, page],
        [0x18, 4, 0x0f01_0300],
      ]),
    );
    assert.equal(stateOf(machine, page), 'Guest-Valid');
    const chunk = machine.rmp.chunks.get(0);
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => chunk?.getUint8(pfnOf(page) * 16 + 8 + i)),
      [0x0f, 3, 1, 0x0f],
    );
    must(
      issue(machine, 'SNP_LAUNCH_FINISH', [
        [0, 8, gctx],
        [0x18, 4, 4],
        [0x20, 1, 0xdd],
      ]),
    );
    assert.deepEqual([guest.state, guest.vcekDisabled, guest.hostData[0]], ['RUNNING', true, 0xdd]);
    const spare = preGuestPage(machine, 1, 0x9000);
    const dst = firmwarePage(machine);
    must(
      issue(machine, 'SNP_PAGE_SWAP_OUT', [
        [0, 8, gctx],
        [8, 8, spare],
        [0x10, 8, dst],
        [0x20, 8, 0x55n],
        [0x28, 4, 0x10],
      ]),
    );
    assert.equal(view(guest.rootMdata ?? new Uint8Array(64)).getBigUint64(0, true), 0x55n);
    must(
      issue(machine, 'SNP_PAGE_SWAP_IN', [
        [0, 8, gctx],
        [8, 8, dst],
        [0x10, 8, spare],
        [0x28, 4, 0x10],
      ]),
    );
    must(issue(machine, 'SNP_PAGE_RECLAIM', [[0, 8, spare]]));
    must(issue(machine, 'SNP_DECOMMISSION', [[0, 8, gctx]]));
    assert.equal(machine.asp.guests.size, 0);
  });

  it('initialises with a list of ranges', () => {
    const machine = createBareMachine();
    const list = bufferOf(machine, [
      [0, 4, 1],
      [8, 8, 0x80_0000],
      [0x10, 4, 3],
    ]);
    must(
      issue(machine, 'SNP_INIT_EX', [
        [0, 4, 3],
        [8, 8, list],
      ]),
    );
    assert.deepEqual(
      [0x80_0000, 0x80_2000, 0x80_3000].map((address) => stateOf(machine, spa(address))),
      ['HV-Fixed', 'HV-Fixed', 'Hypervisor'],
    );
  });

  const refusals: [
    name: string,
    (machine: Machine) => ReturnType<typeof mailboxCommand>,
    status: number,
    check: string,
  ][] = [
    ['an unknown number', (m) => mailboxCommand(m, 0x0cc, spa(0)), 0x11, 'fw-command-unknown'],
    ['a legacy command', (m) => mailboxCommand(m, 0x004, spa(0)), 0x11, 'fw-command-unknown'],
    [
      'a buffer above memory',
      (m) => mailboxCommand(m, SNP_COMMAND_ID.SNP_CONFIG, spa(m.memory.size - 0x3f)),
      0x09,
      'fw-address-range',
    ],
    ['a list that is too long', (m) => setState(m, [[0, 4, 256]]), 0x16, 'fw-command-list'],
    ['a list with a reserved word', (m) => setState(m, [[4, 4, 1]]), 0x16, 'fw-command-list'],
    [
      'a range with a reserved word',
      (m) =>
        setState(m, [
          [0, 4, 1],
          [0x14, 4, 1],
        ]),
      0x16,
      'fw-command-list',
    ],
    [
      'a list above memory',
      (m) =>
        issue(m, 'SNP_PAGE_SET_STATE', [
          [0, 4, 0x10],
          [8, 8, m.memory.size - 4],
        ]),
      0x09,
      'fw-address-range',
    ],
    ['1025 APIC IDs', (m) => issue(m, 'SNP_ACTIVATE_EX', [[0x14, 4, 1025]]), 0x16, 'fw-command-list'],
    [
      'APIC IDs above memory',
      (m) =>
        issue(m, 'SNP_ACTIVATE_EX', [
          [0x14, 4, 2],
          [0x18, 8, m.memory.size - 4],
        ]),
      0x09,
      'fw-address-range',
    ],
  ];
  function setState(machine: Machine, list: readonly Field[]) {
    return issue(machine, 'SNP_PAGE_SET_STATE', [
      [0, 4, 0x10],
      [8, 8, bufferOf(machine, list)],
    ]);
  }
  for (const [name, op, status, check] of refusals) {
    it(`refuses ${name}`, () => {
      const machine = createInitialisedMachine();
      const result = run(op(machine));
      assert.deepEqual([result.fault?.check, result.status], [check, status]);
      assert.equal(machine.stack.frames.length, 0);
    });
  }

  for (const [name, { reserved, size }] of Object.entries(MAILBOX_COMMANDS)) {
    if (reserved.length === 0) continue;
    it(`refuses each reserved bit of ${name}`, () => {
      const machine = createInitialisedMachine();
      const frame = newPage(machine);
      for (const [offset, mask] of reserved) {
        assert.ok(offset + 4 <= size, 'inside of the buffer');
        for (let bit = 0; bit < 32; bit++) {
          if (((mask >>> bit) & 1) === 0) continue;
          const bytes = new Uint8Array(PAGE_SIZE);
          view(bytes).setUint32(offset, (1 << bit) >>> 0, true);
          writePage(machine.memory, frame, { bytes, frozen: false });
          const result = run(mailboxCommand(machine, SNP_COMMAND_ID[name as SnpCommandName], spaOf(frame)));
          assert.equal(result.fault?.check, 'fw-command-reserved', `bit ${bit} at 0x${offset.toString(16)}`);
          assert.equal(result.status, FIRMWARE_STATUS.INVALID_PARAM);
        }
      }
    });
  }

  it('answers any buffer with a status, and never with an exception', () => {
    const machine = createInitialisedMachine();
    const frame = newPage(machine);
    const names = Object.keys(SNP_COMMAND_ID) as SnpCommandName[];
    // Small numbers are addresses and lengths that may be right.
    const word = fc.oneof(
      fc.nat(0xffff_ffff),
      fc.nat(0x40),
      fc.nat(4096).map((n) => n * 4096),
    );
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.array(word, { maxLength: 16 }), (name, words) => {
        const bytes = new Uint8Array(PAGE_SIZE);
        for (const [i, value] of words.entries()) view(bytes).setUint32(4 * i, value, true);
        writePage(machine.memory, frame, { bytes, frozen: false });
        const { status, fault } = run(mailboxCommand(machine, SNP_COMMAND_ID[name], spaOf(frame)));
        assert.equal(status === 0, fault === undefined);
        assert.equal(machine.stack.frames.length, 0);
      }),
      { numRuns: 1000 },
    );
  });

  it('knows its names', () => {
    assert.equal(snpCommandName(0x0c9), 'SNP_CONFIG');
    assert.equal(snpCommandName(0x0c4), undefined);
    assert.equal(new Set(Object.values(SNP_COMMAND_ID)).size, Object.keys(SNP_COMMAND_ID).length);
  });
});
