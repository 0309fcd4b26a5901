import { hex } from '../../address.js';
import type { Machine } from '../../machine.js';
import type { Op } from '../../timeline/event.js';
import { inKernel } from '../result.js';
import type { ExitHandling } from '../run/kvm-exit.js';
import { vcpuRunState } from '../run/vcpu-run-state.js';
import type { KvmVcpu, KvmVm } from '../state.js';
import { kvmMmuPageFault } from './kvm-mmu-page-fault.js';
import { type PageFault, pageFaultOf } from './page-fault.js';
import { sevHandleRmpFault } from './sev-handle-rmp-fault.js';

/** npf_interception(): the fault of the nested page table, then that of the RMP. Linux arch/x86/kvm/svm/svm.c. */
export function npfInterception(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): Op<ExitHandling> {
  const arch = vcpuRunState(machine, vm, vcpu);
  const { exitInfo1, exitInfo2 } = arch.vmcb;
  const args = { gpa: hex(exitInfo2), error_code: hex(exitInfo1) };
  return inKernel(machine, 'npf_interception', args, () =>
    handleFault(machine, vm, vcpu, pageFaultOf(exitInfo1, exitInfo2)),
  );
}

function* handleFault(machine: Machine, vm: KvmVm, vcpu: KvmVcpu, fault: PageFault): Op<ExitHandling> {
  const result = yield* kvmMmuPageFault(machine, vm, vcpuRunState(machine, vm, vcpu), fault);
  const { rmpFaultAfterError } = machine.kvmProfile;
  if (fault.rmp && (result.ret > 0 || (result.ret < 0 && rmpFaultAfterError))) {
    yield* sevHandleRmpFault(machine, vm, vcpu, fault.gpa, fault.errorCode);
  }
  return result;
}
