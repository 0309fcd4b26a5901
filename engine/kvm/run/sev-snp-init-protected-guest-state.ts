import { gfnOf, hex, spaOf } from '../../address.js';
import type { Machine } from '../../machine.js';
import { inFrame, logEvent, type Op } from '../../timeline/event.js';
import { kvmGmemGetPfn } from '../mmu/kvm-gmem-get-pfn.js';
import { type KvmVcpu, type KvmVm, slotOf } from '../state.js';
import { vcpuRunState } from './vcpu-run-state.js';

/**
 * KVM_REQ_UPDATE_PROTECTED_GUEST_STATE: the vCPU takes over the VMSA that the guest made for it, or is parked if there
 * is none. KVM does not look whether the page is a VMSA: VMRUN does. Linux arch/x86/kvm/svm/sev.c
 * sev_snp_init_protected_guest_state().
 */
export function* sevSnpInitProtectedGuestState(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): Op<void> {
  const arch = vcpuRunState(machine, vm, vcpu);
  if (!arch.snpApWaitingForReset) return;
  const { snpVmsaGpa: address } = arch;
  const args = { vcpu: vcpu.index, vmsa: address === undefined ? 'none' : hex(address) };
  yield* inFrame(
    machine.stack,
    'kvm',
    'sev_snp_init_protected_guest_state',
    { args },
    function* () {
      arch.snpApWaitingForReset = false;
      arch.mpState = 'HALTED';
      arch.vmcb.vmsa = undefined;
      arch.snpVmsaGpa = undefined;
      if (address === undefined) return;
      const frame = gfnOf(address);
      const slot = slotOf(vm, frame);
      if (slot?.gmemFd === undefined) {
        yield logEvent(
          machine.stack,
          'kvm',
          `SEV: no private memory for the VMSA of vCPU ${vcpu.index} at ${hex(address)}`,
        );
        return;
      }
      const page = yield* kvmGmemGetPfn(machine, vm, slot, frame);
      if (!page.ok) return;
      arch.snpHasGuestVmsa = true;
      arch.vmcb.vmsa = spaOf(page.pfn);
      arch.mpState = 'RUNNABLE';
    },
    () => ({ result: arch.mpState }),
  );
}
