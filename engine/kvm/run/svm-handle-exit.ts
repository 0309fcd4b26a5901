import { hex } from '../../address.js';
import { EXIT } from '../../cpu/svm/vmcb.js';
import type { Machine } from '../../machine.js';
import { decodeExitCode } from '../../spec/exit-code.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { sevHandleVmgexit } from '../ghcb/sev-handle-vmgexit.js';
import { npfInterception } from '../mmu/npf-interception.js';
import type { KvmVcpu, KvmVm, VcpuRunState } from '../state.js';
import { type ExitHandling, type KvmExit, RESUME, TO_USERSPACE } from './kvm-exit.js';
import { vcpuRunState } from './vcpu-run-state.js';

type Handler = (machine: Machine, vm: KvmVm, vcpu: KvmVcpu) => Op<ExitHandling>;

/** KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON. */
const UNEXPECTED_EXIT_REASON = 4;

/** NMI, SMI and INIT of the host: it deals with them itself. */
const NMI = 0x61n;
const SMI = 0x62n;
const INIT = 0x63n;

/**
 * svm_exit_handlers[] for a guest with encrypted state: the exits that the processor makes by itself. The others are
 * #VC in the guest, which asks with VMGEXIT. Linux arch/x86/kvm/svm/svm.c.
 */
const HANDLERS = new Map<bigint, Handler>([
  [EXIT.INTR, resume],
  [NMI, resume],
  [SMI, resume],
  [INIT, resume],
  [EXIT.VINTR, resume],
  [EXIT.PAUSE, pauseInterception],
  [EXIT.HLT, hltInterception],
  [EXIT.SHUTDOWN, shutdownInterception],
  [EXIT.EFER_WRITE_TRAP, resume],
  [EXIT.CR0_WRITE_TRAP, resume],
  [EXIT.CR4_WRITE_TRAP, cr4Trap],
  [EXIT.CR8_WRITE_TRAP, resume],
  [EXIT.NPF, npfInterception],
  [EXIT.VMGEXIT, sevHandleVmgexit],
]);

/** svm_handle_exit(): what KVM does about the #VMEXIT in the VMCB. */
export function* svmHandleExit(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): Op<ExitHandling> {
  const arch = vcpuRunState(machine, vm, vcpu);
  const { exitCode, exitFault } = arch.vmcb;
  if (exitCode === EXIT.INVALID) {
    yield logEvent(machine.stack, 'kvm', `SVM: vCPU ${vcpu.index}: VMRUN failed, VMCB dumped`);
    return toUserspace(arch, {
      reason: 'KVM_EXIT_FAIL_ENTRY',
      hardwareEntryFailureReason: exitCode,
      ...(exitFault ? { fault: exitFault } : {}),
    });
  }
  const handler = HANDLERS.get(exitCode);
  return handler ? yield* handler(machine, vm, vcpu) : yield* svmHandleInvalidExit(machine, arch);
}

/**
 * svm_handle_invalid_exit(): an exit that KVM does not expect from such a guest, and a VMRUN that failed otherwise
 * than with VMEXIT_INVALID.
 */
function* svmHandleInvalidExit(machine: Machine, arch: VcpuRunState): Op<ExitHandling> {
  const { exitCode, exitFault } = arch.vmcb;
  const name = decodeExitCode(exitCode)?.name;
  yield logEvent(machine.stack, 'kvm', `svm: unexpected exit reason ${hex(exitCode)}${name ? ` (${name})` : ''}`);
  return toUserspace(arch, {
    reason: 'KVM_EXIT_INTERNAL_ERROR',
    suberror: UNEXPECTED_EXIT_REASON,
    ...(exitFault ? { fault: exitFault } : {}),
  });
}

function toUserspace(arch: VcpuRunState, exit: KvmExit): ExitHandling {
  arch.exit = exit;
  return TO_USERSPACE;
}

/** intr_interception(), efer_trap(), cr_trap(): nothing of it has state that an SNP guest could see. */
// biome-ignore lint/correctness/useYield: a handler like the others.
function* resume(): Op<ExitHandling> {
  return RESUME;
}

/** cr_trap(): KVM keeps CR4, because CPUID answers depend on it. */
// biome-ignore lint/correctness/useYield: a handler like the others.
function* cr4Trap(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): Op<ExitHandling> {
  const arch = vcpuRunState(machine, vm, vcpu);
  arch.cr4 = arch.vmcb.exitInfo1;
  return RESUME;
}

/** kvm_vcpu_on_spin(): another vCPU gets the processor. */
// biome-ignore lint/correctness/useYield: a handler like the others.
function* pauseInterception(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): Op<ExitHandling> {
  vcpuRunState(machine, vm, vcpu).yielded = true;
  return RESUME;
}

/** kvm_emulate_halt(): KVM_RUN goes on in kvm_vcpu_block(). RIP is behind HLT already. */
// biome-ignore lint/correctness/useYield: a handler like the others.
function* hltInterception(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): Op<ExitHandling> {
  vcpuRunState(machine, vm, vcpu).mpState = 'HALTED';
  return RESUME;
}

/** shutdown_interception(): the VMSA stays as it is; KVM cannot reset it. */
// biome-ignore lint/correctness/useYield: a handler like the others.
function* shutdownInterception(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): Op<ExitHandling> {
  const arch = vcpuRunState(machine, vm, vcpu);
  const { exitFault } = arch.vmcb;
  return toUserspace(arch, { reason: 'KVM_EXIT_SHUTDOWN', ...(exitFault ? { fault: exitFault } : {}) });
}
