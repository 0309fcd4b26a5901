import assert from 'node:assert/strict';
import { gfn } from '../../../engine/address.js';
import { EXIT } from '../../../engine/cpu/svm/vmcb.js';
import { makeFault } from '../../../engine/fault.js';
import { isPrivate } from '../../../engine/kvm/ioctl/kvm-set-memory-attributes.js';
import { NO_MEMORY } from '../../../engine/kvm/snp-safe-alloc-page.js';
import { readUser, writeUser } from '../../../engine/memory/user-memory.js';
import type { EngineEvent } from '../../../engine/timeline/event.js';
import type { GuestExit } from '../../../engine/timeline/run.js';
import { QUANTUM, runGuest } from '../../../engine/vmm/run-vm.js';
import { trace } from '../../support/kvm-host.js';
import {
  archState,
  NPF_BITS,
  npf,
  RAM_GPA,
  runningVm,
  type ScriptedExit,
  scriptedProcessor,
  vmmOf,
} from '../../support/running-vm.js';

const { present, write, rmp, encrypted } = NPF_BITS;
const CAUSE = makeFault(NO_MEMORY, { use: 'a test' });

function play(lists: readonly (readonly ScriptedExit[])[], setup = runningVm({ vcpus: lists.length }), idle = false) {
  const processor = scriptedProcessor(lists, idle);
  const { value, events } = trace(runGuest(vmmOf(setup), processor));
  return { setup, processor, exit: value, events };
}

function faultOf(exit: GuestExit) {
  return 'fault' in exit ? exit.fault : undefined;
}

const exception = (vector: number, more: object = {}): EngineEvent => ({
  kind: 'exception',
  depth: 4,
  vcpu: 0,
  rip: 0xabcdn,
  instructions: 1,
  vector,
  errorCode: undefined,
  address: undefined,
  ...more,
});

describe('runGuest', () => {
  it('ends when every vCPU waits', () => {
    const { exit, processor } = play([[{ code: EXIT.HLT }], []]);
    assert.equal(exit.reason, 'halted');
    assert.equal(faultOf(exit)?.check, 'vmm-guest-halted');
    assert.match(faultOf(exit)?.message ?? '', /vCPU 0 HALTED, vCPU 1 UNINITIALIZED/);
    assert.deepEqual(processor.entered, [0]);
  });

  it('gives each vCPU its quantum, in turn', () => {
    const setup = runningVm({ vcpus: 2 });
    archState(setup, 1).mpState = 'RUNNABLE';
    setup.machine.guestControl.limit = 3 * QUANTUM + 5;
    const { exit, processor } = play([[], []], setup, true);
    assert.deepEqual(exit, { reason: 'limit', instructions: 3 * QUANTUM + 5 });
    assert.deepEqual(processor.entered, [0, 1, 0, 1]);
    assert.deepEqual(
      processor.deadlines,
      [1, 2, 3, 3].map((n, i) => n * QUANTUM + (i === 3 ? 5 : 0)),
    );
  });

  it('lets another vCPU run at PAUSE', () => {
    const setup = runningVm({ vcpus: 2 });
    archState(setup, 1).mpState = 'RUNNABLE';
    const { processor } = play([[{ code: EXIT.PAUSE }, { code: EXIT.HLT }], [{ code: EXIT.HLT }]], setup);
    assert.deepEqual(processor.entered, [0, 1, 0]);
  });

  it('has the frames of the threads', () => {
    const { events } = play([[{ code: EXIT.HLT }]]);
    const names = events.flatMap((e) => (e.kind === 'enter' ? [`${e.frame.layer} ${e.frame.name}`] : []));
    assert.deepEqual(names, ['vmm kvm_cpu_exec', 'kvm KVM_RUN']);
    assert.ok(events.some((e) => e.kind === 'leave' && e.frame.name === 'kvm_cpu_exec' && e.result === 'blocked'));
  });

  it('explains a triple fault by the exception before it', () => {
    const page = exception(14, { errorCode: 2, address: 0x123000n });
    const { exit, events } = play([[{ code: EXIT.SHUTDOWN, events: [page] }]]);
    assert.equal(exit.reason, 'shutdown');
    const fault = faultOf(exit);
    assert.equal(fault?.check, 'vmm-guest-shutdown');
    assert.equal(fault.cause?.check, 'guest-exception');
    assert.match(
      fault.message,
      /RIP 0x1001.*instruction at 0xabcd raised #PF with error code 0x2 for address 0x123000/,
    );
    assert.ok(events.some((e) => e.kind === 'log' && e.text === 'cpus are not resettable, terminating'));
  });

  it('does not blame an exception of long ago', () => {
    const { exit } = play([
      [
        { code: EXIT.INTR, events: [exception(14)] },
        { code: EXIT.SHUTDOWN, retires: 200_000 },
      ],
    ]);
    assert.equal(faultOf(exit)?.cause, undefined);
  });

  it('names an access to a page that was not validated', () => {
    const vc = exception(29, { errorCode: 0x404, address: 0x5000n, fault: CAUSE });
    const { exit } = play([[{ code: EXIT.SHUTDOWN, events: [vc] }]]);
    assert.equal(faultOf(exit)?.cause?.cause, CAUSE);
    assert.match(faultOf(exit)?.message ?? '', /raised #VC with error code 0x404 for address 0x5000\. .*a test/);
  });

  it('takes #VC of an exit that the guest handles for no incident', () => {
    const { exit } = play([[{ code: EXIT.SHUTDOWN, events: [exception(29, { errorCode: 0x72 })] }]]);
    assert.equal(faultOf(exit)?.cause, undefined);
  });

  const pvalidate = (code: number, carry: boolean, more: object = {}): EngineEvent => ({
    kind: 'instruction',
    depth: 4,
    vcpu: 0,
    rip: 0xabcdn,
    instructions: 1,
    name: 'PVALIDATE',
    operands: { address: '0x5000' },
    code,
    carry,
    ...more,
  });
  for (const [event, check] of [
    [pvalidate(0, true), 'guest-pvalidate-unchanged'],
    [pvalidate(6, false), 'guest-rmp-instruction-failed'],
    [pvalidate(0, false), undefined],
  ] as const) {
    it(`remembers of PVALIDATE: ${check ?? 'nothing'}`, () => {
      const { exit } = play([[{ code: EXIT.SHUTDOWN, events: [event] }]]);
      assert.equal(faultOf(exit)?.cause?.check, check);
    });
  }

  it('explains a failed VMRUN, an unknown exit and a missing instruction', () => {
    const entry = play([[{ code: EXIT.INVALID, fault: CAUSE }]]).exit;
    assert.deepEqual([entry.reason, faultOf(entry)?.check], ['fault', 'vmm-kvm-entry-failed']);
    assert.match(faultOf(entry)?.message ?? '', /INVALID \(0xffffffffffffffff\).*a test/);
    const unknown = play([[{ code: 0x72n }]]).exit;
    assert.equal(faultOf(unknown)?.check, 'vmm-kvm-internal-error');
    const missing = play([[{ code: 0n, emulatorFault: CAUSE }]]).exit;
    assert.equal(faultOf(missing), CAUSE);
  });

  it('stops a guest that is stuck, but not while another vCPU moves', () => {
    const denied = npf(RAM_GPA, present | rmp | encrypted, { fault: CAUSE });
    const stuck = [npf(RAM_GPA, encrypted), ...Array<ScriptedExit>(20).fill(denied)];
    const alone = play([stuck]);
    assert.equal(faultOf(alone.exit)?.check, 'vmm-guest-stuck');
    assert.equal(faultOf(alone.exit)?.cause?.check, 'kvm-run-no-progress');
    const setup = runningVm({ vcpus: 2 });
    archState(setup, 1).mpState = 'RUNNABLE';
    const moves = [1, 2, 3].map((): ScriptedExit => ({ code: EXIT.INTR, retires: QUANTUM }));
    const two = play([stuck, [...moves, { code: EXIT.HLT }]], setup);
    assert.equal(faultOf(two.exit)?.check, 'vmm-guest-stuck');
    assert.deepEqual(two.processor.entered.filter((id) => id === 1).length, 4);
  });
});

describe('kvm_convert_memory', () => {
  it('makes a page shared: the private one is freed, and the guest goes on', () => {
    const setup = runningVm();
    const shared = npf(RAM_GPA, write);
    const { exit } = play([[npf(RAM_GPA, encrypted), shared, shared, { code: EXIT.HLT }]], setup);
    assert.equal(exit.reason, 'halted');
    assert.equal(isPrivate(setup.vm, gfn(RAM_GPA / 4096), gfn(RAM_GPA / 4096 + 1)), false);
    assert.equal(setup.vm.gmems.get(setup.vm.slots.get(1)?.gmemFd ?? -1)?.folios.size, 0);
    assert.equal(setup.machine.user.frames.size, 1);
  });

  it('makes a page private: what was shared is thrown away', () => {
    const setup = runningVm();
    const shared = npf(RAM_GPA, write);
    const own = npf(RAM_GPA, encrypted);
    const touched = { ...own, effect: () => assert.ok(writeUser(setup.machine.user, setup.ram, Uint8Array.of(5))) };
    play([[shared, shared, touched, own, { code: EXIT.HLT }]], setup);
    assert.deepEqual(readUser(setup.machine.user, setup.ram, 1), Uint8Array.of(0));
    assert.equal(setup.machine.user.frames.size, 0);
  });

  const refused = [
    { name: 'device registers made private', address: 0xfee0_0000, what: /device registers have no guest_memfd/ },
    { name: 'a hole made private', address: 0x8000_0000, what: /there is no memory at this address/ },
  ];
  for (const { name, address, what } of refused) {
    it(`refuses ${name}`, () => {
      const { exit, events } = play([[npf(address, encrypted)]]);
      assert.deepEqual([exit.reason, faultOf(exit)?.check], ['fault', 'vmm-convert-memory']);
      assert.match(faultOf(exit)?.message ?? '', what);
      assert.equal(faultOf(exit)?.cause?.check, 'kvm-memory-fault');
      const printed = events.some((e) => e.kind === 'log' && e.text.startsWith('Convert non guest_memfd backed'));
      assert.equal(printed, address === 0xfee0_0000);
    });
  }

  it('stops when the VMM has lost the memory', () => {
    const setup = runningVm();
    const { exit } = play([[npf(0x1000, write), npf(0x1000, write)]], setup);
    assert.equal(faultOf(exit)?.check, 'vmm-kvm-run-failed');
    assert.equal(faultOf(exit)?.cause?.check, 'kvm-npf-user-page');
  });
});
