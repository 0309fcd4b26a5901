import { hex } from '../../address.js';
import { defineFault, type Fault, makeFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { decodeExitCode } from '../../spec/exit-code.js';
import { decodeNpfError } from '../../spec/npf-error.js';
import type { KvmVcpu, KvmVm, VcpuRunState } from '../state.js';

export const NO_PROGRESS = defineFault<{ vcpu: number; exit: string; gpa: string; reading: string }>({
  check: 'kvm-run-no-progress',
  layer: 'kvm',
  command: 'KVM_RUN',
  code: { kind: 'exception', name: 'NPF', value: 0x400 },
  title: 'The guest makes no progress',
  message: (o) =>
    `vCPU ${o.vcpu} exits again and again with ${o.exit} at ${o.gpa}: KVM finds nothing to repair and runs it again, and the same instruction faults again. ${o.reading}`,
  why: 'KVM takes an RMP fault that it cannot repair as spurious and resumes the guest. If the RMP entry does not change the guest repeats the access for ever; on a real host the thread spins until somebody kills the VM. The emulated host notices and stops.',
  hint: 'See the reason of the fault below: usually the guest used a page in another way than it had asked for.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_handle_rmp_fault()',
  confirmed: true,
});

const NPF = 0x400n;

/**
 * True if the exit at hand is the same as the one before, and nothing that it depends on has changed in between:
 * no instruction was retired, RMP and nested page table are as they were.
 */
export function repeatsExit(machine: Machine, vm: KvmVm, arch: VcpuRunState, retired: number): boolean {
  const { exitCode, exitInfo1, exitInfo2 } = arch.vmcb;
  const table = vm.nestedPageTable;
  const state = [retired, machine.rmp.revision, table?.revision ?? 0, table?.entries.size ?? 0];
  const key = exitCode === NPF ? `${exitInfo1} ${exitInfo2} ${state.join(' ')}` : undefined;
  const repeated = key !== undefined && key === arch.lastExit;
  arch.lastExit = key;
  return repeated;
}

export function noProgress(vcpu: KvmVcpu, arch: VcpuRunState): Fault {
  const { exitCode, exitInfo1, exitInfo2, exitFault } = arch.vmcb;
  const operands = {
    vcpu: vcpu.index,
    exit: `${decodeExitCode(exitCode)?.name ?? hex(exitCode)} (EXITINFO1 ${hex(exitInfo1)})`,
    gpa: hex(exitInfo2),
    reading: decodeNpfError(exitInfo1).reading,
  };
  return makeFault(NO_PROGRESS, operands, exitFault ? { cause: exitFault } : {});
}
