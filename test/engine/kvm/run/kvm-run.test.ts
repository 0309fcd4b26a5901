import assert from 'node:assert/strict';
import { gpa, spaOf } from '../../../../engine/address.js';
import { EXIT } from '../../../../engine/cpu/svm/vmcb.js';
import { makeFault } from '../../../../engine/fault.js';
import { kvmRun } from '../../../../engine/kvm/run/kvm-run.js';
import { NO_MEMORY } from '../../../../engine/kvm/snp-safe-alloc-page.js';
import { setAttributes, trace } from '../../../support/kvm-host.js';
import {
  archState,
  NPF_BITS,
  npf,
  RAM_GPA,
  type RunningVm,
  runningVm,
  type Script,
  type ScriptedExit,
  scriptedProcessor,
  vcpuOf,
} from '../../../support/running-vm.js';

const { present, write, rmp, encrypted } = NPF_BITS;
const CAUSE = makeFault(NO_MEMORY, { use: 'a test' });

function enter(setup: RunningVm, processor: Script, index = 0, deadline = 1000) {
  const { machine, vm } = setup;
  const { value, events } = trace(kvmRun(machine, vm, vcpuOf(vm, index), deadline, processor));
  return { ...value, exit: archState(setup, index).exit, events };
}

function play(exits: readonly ScriptedExit[], setup = runningVm()) {
  const processor = scriptedProcessor([exits]);
  return { setup, processor, ...enter(setup, processor) };
}

describe('KVM_RUN', () => {
  it('starts the first vCPU with its launched VMSA and SEV information in the GHCB MSR', () => {
    const setup = runningVm({ vcpus: 2 });
    const { vmcb, mpState } = archState(setup);
    assert.deepEqual([mpState, archState(setup, 1).mpState], ['RUNNABLE', 'UNINITIALIZED']);
    const vmsaPfn = vcpuOf(setup.vm).vmsaPfn;
    assert.ok(vmsaPfn !== undefined);
    assert.deepEqual([vmcb.asid, vmcb.vmsa], [setup.vm.asid, spaOf(vmsaPfn)]);
    // Versions 1 to 2, C-bit 51.
    assert.equal(vmcb.ghcb, 0x0002_0001_3300_0001n);
    assert.equal(vmcb.nestedPageTable, archState(setup, 1).vmcb.nestedPageTable);
  });

  it('goes back to userspace at its deadline, as a signal would', () => {
    const { ret, exit, processor } = play([{ code: EXIT.INTR, retires: 1000 }]);
    assert.deepEqual([ret, exit?.reason, processor.entered.length], [-4, 'KVM_EXIT_INTR', 1]);
  });

  for (const code of [EXIT.INTR, 0x61n, 0x62n, 0x63n, EXIT.EFER_WRITE_TRAP, EXIT.CR0_WRITE_TRAP, EXIT.CR8_WRITE_TRAP]) {
    it(`goes on after exit 0x${code.toString(16)}`, () => {
      const { processor } = play([{ code }, { code: EXIT.INTR, retires: 1000 }]);
      assert.equal(processor.entered.length, 2);
    });
  }

  it('keeps what the guest wrote to CR4', () => {
    const { setup } = play([
      { code: EXIT.CR4_WRITE_TRAP, info1: 0x40020n },
      { code: EXIT.INTR, retires: 1000 },
    ]);
    assert.equal(archState(setup).cr4, 0x40020n);
  });

  it('hands the processor over at PAUSE', () => {
    const { ret, exit } = play([{ code: EXIT.PAUSE }]);
    assert.deepEqual([ret, exit?.reason], [-4, 'KVM_EXIT_INTR']);
  });

  it('sleeps after HLT until something wakes it', () => {
    const { setup, ret, exit } = play([{ code: EXIT.HLT }]);
    assert.deepEqual([ret, exit?.reason, archState(setup).mpState], [0, 'blocked', 'HALTED']);
    const again = enter(setup, scriptedProcessor([[]]));
    assert.deepEqual([again.ret, again.exit?.reason], [0, 'blocked']);
  });

  it('reports a triple fault with its reason', () => {
    const { ret, exit } = play([{ code: EXIT.SHUTDOWN, fault: CAUSE }]);
    assert.deepEqual([ret, exit], [0, { reason: 'KVM_EXIT_SHUTDOWN', fault: CAUSE }]);
  });

  it('reports a VMRUN that failed', () => {
    const { ret, exit } = play([{ code: EXIT.INVALID, fault: CAUSE }]);
    assert.equal(ret, 0);
    assert.deepEqual(exit, {
      reason: 'KVM_EXIT_FAIL_ENTRY',
      hardwareEntryFailureReason: 0xffff_ffff_ffff_ffffn,
      fault: CAUSE,
    });
  });

  for (const code of [EXIT.BUSY, 0x72n, 0x401n]) {
    it(`does not expect exit 0x${code.toString(16)}`, () => {
      const { ret, exit, events } = play([{ code }]);
      assert.deepEqual([ret, exit], [0, { reason: 'KVM_EXIT_INTERNAL_ERROR', suberror: 4 }]);
      assert.ok(events.some((e) => e.kind === 'log' && e.text.startsWith('svm: unexpected exit reason')));
    });
  }

  it('stops where the emulated processor lacks something', () => {
    const { ret, exit } = play([{ code: 0n, emulatorFault: CAUSE }]);
    assert.deepEqual([ret, exit], [0, { reason: 'emulator', fault: CAUSE }]);
  });

  it('completes what userspace has done first', () => {
    const setup = runningVm();
    const arch = archState(setup);
    let completed = 0;
    // biome-ignore lint/correctness/useYield: a callback without events.
    arch.complete = function* () {
      completed++;
      return { ret: 1, fwError: 0 };
    };
    enter(setup, scriptedProcessor([[{ code: EXIT.INTR, retires: 1000 }]]));
    assert.deepEqual([completed, arch.complete], [1, undefined]);
    // biome-ignore lint/correctness/useYield: a callback without events.
    arch.complete = function* () {
      arch.exit = { reason: 'KVM_EXIT_SHUTDOWN' };
      return { ret: 0, fwError: 0 };
    };
    const { ret, exit } = enter(setup, scriptedProcessor([[]]));
    assert.deepEqual([ret, exit?.reason], [0, 'KVM_EXIT_SHUTDOWN']);
  });

  it('asks the VMM about an implicit conversion, and goes on after it', () => {
    const setup = runningVm();
    const shared = npf(RAM_GPA, write);
    const processor = scriptedProcessor([[shared, shared, { code: EXIT.INTR, retires: 1000 }]]);
    const first = enter(setup, processor);
    assert.deepEqual([first.ret, first.exit?.reason], [-14, 'KVM_EXIT_MEMORY_FAULT']);
    setAttributes(setup.machine, setup.vm, RAM_GPA, 0x1000, 0n);
    assert.equal(enter(setup, processor).ret, -4);
    assert.equal(processor.entered.length, 3);
  });

  it('notices that the guest makes no progress', () => {
    const setup = runningVm();
    const denied = npf(RAM_GPA, present | write | rmp | encrypted, { fault: CAUSE });
    const processor = scriptedProcessor([[npf(RAM_GPA, encrypted), denied, denied]]);
    const { ret, exit } = enter(setup, processor);
    assert.deepEqual([ret, exit?.reason], [-4, 'KVM_EXIT_INTR']);
    const { stuck } = archState(setup);
    assert.equal(stuck?.check, 'kvm-run-no-progress');
    assert.equal(stuck.cause, CAUSE);
  });

  it('takes the same fault after an instruction, or after a change of the RMP, as a new one', () => {
    const setup = runningVm();
    const again = npf(RAM_GPA, present | write | rmp | encrypted);
    const change = { ...again, effect: () => setup.machine.rmp.revision++ };
    const processor = scriptedProcessor([
      [npf(RAM_GPA, encrypted), again, { ...again, retires: 1 }, change, { code: EXIT.INTR, retires: 1000 }],
    ]);
    enter(setup, processor);
    assert.equal(archState(setup).stuck, undefined);
    assert.equal(processor.entered.length, 5);
  });
});

describe('sev_snp_init_protected_guest_state', () => {
  function request(address: number | undefined) {
    const setup = runningVm({ vcpus: 2 });
    const arch = archState(setup, 1);
    Object.assign(arch, {
      snpApWaitingForReset: true,
      updateProtectedGuestState: true,
      ...(address === undefined ? {} : { snpVmsaGpa: gpa(address) }),
    });
    const processor = scriptedProcessor([[], [{ code: EXIT.INTR, retires: 1000 }]]);
    return { setup, arch, ...enter(setup, processor, 1) };
  }

  it('takes over the VMSA of the guest and starts the vCPU', () => {
    const { setup, arch, ret } = request(RAM_GPA + 0x3000);
    assert.equal(ret, -4);
    const folio = setup.vm.gmems.get(setup.vm.slots.get(1)?.gmemFd ?? -1)?.folios.get(3);
    assert.ok(folio);
    assert.deepEqual([arch.vmcb.vmsa, arch.mpState, arch.snpHasGuestVmsa], [spaOf(folio.pfn), 'RUNNABLE', true]);
    assert.deepEqual([arch.snpVmsaGpa, arch.snpApWaitingForReset], [undefined, false]);
  });

  for (const [name, address] of [
    ['none', undefined],
    ['one without memory', 0x8000_0000],
  ] as const) {
    it(`parks the vCPU if the VMSA is ${name}`, () => {
      const { arch, ret, exit } = request(address);
      assert.deepEqual([ret, exit?.reason, arch.mpState, arch.vmcb.vmsa], [0, 'blocked', 'HALTED', undefined]);
    });
  }

  it('does nothing without a request of the guest', () => {
    const setup = runningVm({ vcpus: 2 });
    archState(setup, 1).updateProtectedGuestState = true;
    assert.equal(enter(setup, scriptedProcessor([[], []]), 1).exit?.reason, 'blocked');
    assert.equal(archState(setup, 1).mpState, 'UNINITIALIZED');
  });
});
