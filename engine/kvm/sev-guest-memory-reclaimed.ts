import { wbinvdOnAllCores } from '../asp/state.js';
import type { Machine } from '../machine.js';
import { logEvent, type Op } from '../timeline/event.js';
import { isSevGuest, isSnpGuest, type KvmVm } from './state.js';

/**
 * kvm_arch_guest_memory_reclaimed(): memory of the VMM behind the guest was freed. A guest of SEV or SEV-ES has it in
 * the caches under its key, so that WBINVD on all processors is due. For SNP nothing is: private memory is not there,
 * and gmem_invalidate flushes its pages itself; before patch 16/20 of the series v15 each page that became private cost
 * a WBINVD on all processors. Linux arch/x86/kvm/svm/sev.c sev_guest_memory_reclaimed().
 */
export function* sevGuestMemoryReclaimed(machine: Machine, vm: KvmVm): Op<void> {
  if (!isSevGuest(vm) || isSnpGuest(vm)) return;
  wbinvdOnAllCores(machine.asp);
  yield logEvent(machine.stack, 'kvm', 'wbinvd_on_all_cpus: guest memory reclaimed');
}
