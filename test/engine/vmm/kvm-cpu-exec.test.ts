import assert from 'node:assert/strict';
import { EXIT } from '../../../engine/cpu/svm/vmcb.js';
import type { KvmExit } from '../../../engine/kvm/run/kvm-exit.js';
import { runGuest } from '../../../engine/vmm/run-vm.js';
import { trace } from '../../support/kvm-host.js';
import {
  archState,
  RAM_GPA,
  RAM_SIZE,
  type RunningVm,
  runningVm,
  scriptedProcessor,
  vmmOf,
} from '../../support/running-vm.js';

/** The VMM meets these exits of KVM, one after the other; then the guest halts. */
function meet(exits: readonly KvmExit[], setup: RunningVm = runningVm()) {
  const arch = archState(setup);
  const left = [...exits];
  // biome-ignore lint/correctness/useYield: a callback without events.
  arch.complete = function* next() {
    arch.exit = left.shift();
    if (!arch.exit) return { ret: 1, fwError: 0 };
    arch.complete = next;
    return { ret: 0, fwError: 0 };
  };
  const { value, events } = trace(runGuest(vmmOf(setup), scriptedProcessor([[{ code: EXIT.HLT }]])));
  const console = events.flatMap((event) => (event.kind === 'console' ? [[event.source, event.text]] : []));
  const logs = events.flatMap((event) => (event.kind === 'log' && event.source === 'vmm' ? [event.text] : []));
  return { setup, exit: value, console, logs, left, fault: 'fault' in value ? value.fault : undefined };
}

function io(direction: 'in' | 'out', port: number, bytes: readonly number[], size = 1): KvmExit {
  return { reason: 'KVM_EXIT_IO', direction, size, port, count: bytes.length / size, data: Uint8Array.from(bytes) };
}

const text = (value: string): number[] => [...value].map((c) => c.charCodeAt(0));

describe('kvm_cpu_exec', () => {
  it('reports output by lines, and the rest when the guest sleeps', () => {
    const bytes = text('one\ntwo').map((byte) => io('out', 0x3f8, [byte]));
    const { console, setup, exit } = meet([...bytes, io('out', 0x402, text('debug'))]);
    assert.deepEqual(console, [
      ['serial', 'one\n'],
      ['serial', 'two'],
      ['debugcon', 'debug'],
    ]);
    assert.deepEqual(setup.machine.console, { serial: 'one\ntwo', debugcon: 'debug' });
    assert.equal(exit.reason, 'halted');
  });

  it('fills what the guest reads', () => {
    const reads = [io('in', 0x402, [0]), io('in', 0x3fd, [0]), io('in', 0x1234, [0, 0, 0, 0], 4), io('in', 0x64, [0])];
    meet(reads);
    const data = reads.map((exit) => (exit.reason === 'KVM_EXIT_IO' ? [...exit.data] : []));
    assert.deepEqual(data, [[0xe9], [0x60], [0xff, 0xff, 0xff, 0xff], [0x18]]);
  });

  for (const [name, exit, reason] of [
    ['S5 through PM1a_CNT', io('out', 0x604, [0x00, 0x20], 2), 'power-off'],
    ['0xCF9', io('out', 0xcf9, [6]), 'reset'],
    ['the keyboard controller', io('out', 0x64, [0xfe]), 'reset'],
  ] as const) {
    it(`ends with ${reason} by ${name}`, () => {
      const end = meet([exit]);
      assert.deepEqual(end.exit, { reason });
      assert.deepEqual(end.logs, reason === 'reset' ? ['cpus are not resettable, terminating'] : []);
    });
  }

  for (const [name, exit, device] of [
    ['port', io('in', 0xd0, [0]), /read the DMA controllers \(8237\) at port 0xd0/],
    [
      'register',
      { reason: 'KVM_EXIT_MMIO', gpa: 0xfec0_0010, length: 4, isWrite: true, data: new Uint8Array(4) },
      /wrote to the I\/O APIC at 0xfec00010/,
    ],
  ] as const) {
    it(`ends at a ${name} of a device that is not emulated`, () => {
      const { fault } = meet([exit]);
      assert.equal(fault?.check, 'vmm-device-missing');
      assert.match(fault.message, device);
    });
  }

  it('gives zeros for memory without a device', () => {
    const data = Uint8Array.of(1, 2, 3, 4);
    const { exit } = meet([{ reason: 'KVM_EXIT_MMIO', gpa: 0x9000_0000, length: 4, isWrite: false, data }]);
    assert.deepEqual([exit.reason, [...data]], ['halted', [0, 0, 0, 0]]);
  });

  it('converts memory for a page state change', () => {
    const change: KvmExit = {
      reason: 'KVM_EXIT_HYPERCALL',
      nr: 12,
      args: [BigInt(RAM_GPA), 2n, 0n],
      ret: 1n,
    };
    const { exit, setup } = meet([change]);
    assert.deepEqual([exit.reason, change.ret], ['halted', 0n]);
    assert.deepEqual(
      setup.vm.privateRanges.map(({ start }) => start),
      [0, RAM_GPA / 4096 + 2],
    );
  });

  it('stops when a page state change reaches beyond its memory block', () => {
    const args = [BigInt(RAM_GPA + RAM_SIZE - 0x1000), 2n, 0x10n];
    const { fault, logs } = meet([{ reason: 'KVM_EXIT_HYPERCALL', nr: 12, args, ret: 0n }]);
    assert.equal(fault?.check, 'vmm-convert-memory');
    assert.match(fault.message, /ends behind the memory block pc\.ram/);
    assert.deepEqual(logs, ["ram_block_discard_range: Overrun block 'pc.ram' (0xff000/0x2000/0x100000)"]);
  });

  it('ignores that a hole is made shared', () => {
    const args = [0x8000_0000n, 0x100n, 0n];
    assert.equal(meet([{ reason: 'KVM_EXIT_HYPERCALL', nr: 12, args, ret: 0n }]).exit.reason, 'halted');
  });

  for (const [name, args] of [
    ['an unaligned page state change', [0x10_0800n, 1n, 0n]],
    ['an empty page state change', [0x10_0000n, 0n, 0n]],
  ] as const) {
    it(`stops at ${name}`, () => {
      assert.equal(meet([{ reason: 'KVM_EXIT_HYPERCALL', nr: 12, args, ret: 0n }]).fault?.check, 'vmm-convert-memory');
    });
  }

  it('stops at a hypercall and at flags that it does not know', () => {
    const hypercall: KvmExit = { reason: 'KVM_EXIT_HYPERCALL', nr: 5, args: [], ret: 0n };
    const flags: KvmExit = { reason: 'KVM_EXIT_MEMORY_FAULT', flags: 16, gpa: 0, size: 4096 };
    for (const exit of [hypercall, flags]) assert.equal(meet([exit]).fault?.check, 'vmm-kvm-run-failed');
  });

  const terminations = [
    { data: 0xf100n, set: 15, code: 0, meaning: 'the sample guest finished', orderly: true },
    { data: 0x2_f100n, set: 15, code: 2, meaning: 'it used a private page that was never validated (#VC 0x404)' },
    { data: 0x100n, set: 0, code: 0, meaning: 'general request', orderly: true },
    { data: 0x1_1100n, set: 1, code: 1, meaning: 'page state change failed' },
    { data: 0x7_7100n, set: 7, code: 7, meaning: 'no public meaning' },
  ];
  for (const { data, set, code, meaning, orderly } of terminations) {
    it(`puts termination ${set}/${code} into words`, () => {
      const { exit, fault } = meet([{ reason: 'KVM_EXIT_SYSTEM_EVENT', type: 6, data: [data] }]);
      assert.ok(exit.reason === 'termination');
      assert.deepEqual([exit.set, exit.code, exit.meaning], [set, code, meaning]);
      assert.equal(fault?.check, orderly ? undefined : 'vmm-guest-terminated');
    });
  }

  it('has no certificates to give', () => {
    const exit: KvmExit = {
      reason: 'KVM_EXIT_VMGEXIT',
      type: 1,
      dataGpa: 0,
      dataNpages: 4,
      ret: 7,
      flags: 0,
      status: 0,
    };
    assert.deepEqual([meet([exit]).exit.reason, exit.ret], ['halted', 0]);
  });
});
