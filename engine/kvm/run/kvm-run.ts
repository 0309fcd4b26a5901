import { EXIT } from '../../cpu/svm/vmcb.js';
import { note } from '../../guest/incident.js';
import type { Machine } from '../../machine.js';
import { errno } from '../../spec/errno.js';
import type { Op } from '../../timeline/event.js';
import { sevEsUnmapGhcb } from '../ghcb/sev-es-unmap-ghcb.js';
import { type IoctlResult, inKernel } from '../result.js';
import type { KvmVcpu, KvmVm, VcpuRunState } from '../state.js';
import { EMULATED_PROCESSOR, type GuestProcessor } from './guest-processor.js';
import { type ExitHandling, RESUME, TO_USERSPACE } from './kvm-exit.js';
import { noProgress, repeatsExit } from './no-progress.js';
import { sevSnpInitProtectedGuestState } from './sev-snp-init-protected-guest-state.js';
import { svmCompleteInterrupts } from './svm-complete-interrupts.js';
import { svmHandleExit } from './svm-handle-exit.js';
import { vcpuRunState } from './vcpu-run-state.js';

/** Nanoseconds of a #VMEXIT with what KVM does about it and the next VMRUN: an order of magnitude, not a measurement. */
const EXIT_TIME = 5_000;

const INTERRUPTED: ExitHandling = { ret: errno('EINTR').value, fwError: 0 };

/**
 * KVM_RUN: runs the vCPU until userspace is needed (`vcpu.arch.exit`), until it has to wait, or until the machine has
 * retired `deadline` instructions. Linux arch/x86/kvm/x86.c kvm_arch_vcpu_ioctl_run(), vcpu_run().
 */
export function kvmRun(
  machine: Machine,
  vm: KvmVm,
  vcpu: KvmVcpu,
  deadline: number,
  processor: GuestProcessor = EMULATED_PROCESSOR,
): Op<IoctlResult> {
  const args = { vcpu: vcpu.index };
  return inKernel(machine, 'KVM_RUN', args, () => ioctlRun(machine, vm, vcpu, deadline, processor));
}

/** kvm_arch_vcpu_ioctl_run(). */
function* ioctlRun(
  machine: Machine,
  vm: KvmVm,
  vcpu: KvmVcpu,
  deadline: number,
  processor: GuestProcessor,
): Op<IoctlResult> {
  for (const each of vm.vcpus) vcpuRunState(machine, vm, each);
  const arch = vcpuRunState(machine, vm, vcpu);
  const { complete } = arch;
  arch.exit = undefined;
  arch.complete = undefined;
  arch.stuck = undefined;
  arch.yielded = false;
  if (complete) {
    const completed = yield* complete();
    if (completed.ret <= 0) return completed;
  }
  return yield* vcpuRun(machine, vm, vcpu, arch, deadline, processor);
}

/** vcpu_run(). */
function* vcpuRun(
  machine: Machine,
  vm: KvmVm,
  vcpu: KvmVcpu,
  arch: VcpuRunState,
  deadline: number,
  processor: GuestProcessor,
): Op<ExitHandling> {
  for (;;) {
    // A pending request wakes a vCPU that sleeps. That one which was never started is woken, too, holds for v15
    // (KVM_REQ_UNBLOCK); how later releases get there is not confirmed.
    if (arch.updateProtectedGuestState) {
      arch.updateProtectedGuestState = false;
      yield* sevSnpInitProtectedGuestState(machine, vm, vcpu);
    }
    if (arch.mpState !== 'RUNNABLE') {
      arch.exit = { reason: 'blocked' };
      return TO_USERSPACE;
    }
    if (arch.yielded || arch.stuck || processor.retired(machine) >= deadline) {
      arch.exit = { reason: 'KVM_EXIT_INTR' };
      return INTERRUPTED;
    }
    const result = yield* vcpuEnterGuest(machine, vm, vcpu, arch, deadline, processor);
    if (result.ret <= 0) return result;
  }
}

/** vcpu_enter_guest(): the GHCB is written back, VMRUN, and the exit is handled. */
function* vcpuEnterGuest(
  machine: Machine,
  vm: KvmVm,
  vcpu: KvmVcpu,
  arch: VcpuRunState,
  deadline: number,
  processor: GuestProcessor,
): Op<ExitHandling> {
  const { vmcb } = arch;
  yield* sevEsUnmapGhcb(machine, vm, vcpu);
  yield* processor.vmrun(machine, vcpu.index, vmcb, deadline);
  svmCompleteInterrupts(vmcb);
  if (vmcb.emulatorFault) {
    arch.exit = { reason: 'emulator', fault: vmcb.emulatorFault };
    return TO_USERSPACE;
  }
  if (repeatsExit(machine, vm, arch, processor.retired(machine))) {
    arch.stuck = noProgress(vcpu, arch);
    return RESUME;
  }
  // Where a run is cut by the quantum no time passes.
  if (vmcb.exitCode !== EXIT.INTR) machine.hostTime += EXIT_TIME;
  const result = yield* svmHandleExit(machine, vm, vcpu);
  // The guest goes on, but has been refused something: it may end because of that.
  if (result.fault && result.ret > 0) {
    note(machine, { vcpu: vcpu.index, instructions: processor.retired(machine), fault: result.fault });
  }
  // Userspace may change what the exit depends on.
  if (result.ret <= 0) arch.lastExit = undefined;
  return result;
}
