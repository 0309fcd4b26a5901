import { spaOf } from '../../address.js';
import { createNestedPageTable } from '../../cpu/svm/nested-page-table.js';
import { createVmcb } from '../../cpu/svm/vmcb.js';
import type { Machine } from '../../machine.js';
import { sevInfo } from '../ghcb/sev-info.js';
import type { KvmVcpu, KvmVm, VcpuRunState } from '../state.js';

/** INVALID_PAGE. */
const NOT_REGISTERED = 0xffff_ffff_ffff_ffffn;
/** The state of a vCPU for KVM_RUN, made on first use as svm_vcpu_reset() leaves it: the first vCPU runs, the others wait. */
export function vcpuRunState(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): VcpuRunState {
  if (vcpu.arch) return vcpu.arch;
  vm.nestedPageTable ??= createNestedPageTable();
  const vmcb = createVmcb(vm.nestedPageTable);
  vmcb.asid = vm.asid;
  vmcb.vmsa = vcpu.vmsaPfn === undefined ? undefined : spaOf(vcpu.vmsaPfn);
  vmcb.ghcb = sevInfo(machine, vm);
  vcpu.arch = {
    vmcb,
    mpState: vcpu.index === 0 ? 'RUNNABLE' : 'UNINITIALIZED',
    ghcbRegisteredGpa: NOT_REGISTERED,
    apResetHold: 'none',
    receivedFirstSipi: false,
    snpApWaitingForReset: false,
    snpHasGuestVmsa: false,
    updateProtectedGuestState: false,
  };
  return vcpu.arch;
}
