import { hex } from '../../address.js';
import { defineFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { errno } from '../../spec/errno.js';
import type { Op } from '../../timeline/event.js';
import { DONE, type IoctlResult, inKernelAtOnce, refuse } from '../result.js';
import type { KvmVm } from '../state.js';

/** KVM_EXIT_HYPERCALL_VALID_MASK: KVM_HC_MAP_GPA_RANGE only. Linux arch/x86/kvm/x86.h. */
const VALID_MASK = 1 << 12;

export const HYPERCALL_MASK = defineFault<{ mask: string; valid: string }>({
  check: 'kvm-exit-hypercall-mask',
  layer: 'kvm',
  command: 'KVM_ENABLE_CAP',
  code: errno('EINVAL'),
  title: 'Hypercall cannot be passed to userspace',
  message: (o) => `KVM_CAP_EXIT_HYPERCALL with mask ${o.mask} is refused; the hypercalls that can exit are ${o.valid}.`,
  why: 'Page state changes of an SNP guest reach the VMM as KVM_HC_MAP_GPA_RANGE (12), the only hypercall that KVM passes on.',
  hint: 'Use the mask 0x1000.',
  reference: 'Linux arch/x86/kvm/x86.c kvm_vm_ioctl_enable_cap()',
  confirmed: true,
});

/** KVM_ENABLE_CAP(KVM_CAP_EXIT_HYPERCALL). Without it every page state change of the guest fails. */
export function kvmEnableExitHypercall(machine: Machine, vm: KvmVm, mask: number): Op<IoctlResult> {
  return inKernelAtOnce(machine, 'KVM_ENABLE_CAP', { cap: 'KVM_CAP_EXIT_HYPERCALL', mask: hex(mask) }, () => {
    if ((mask & ~VALID_MASK) !== 0) return refuse(HYPERCALL_MASK, { mask: hex(mask), valid: hex(VALID_MASK) });
    vm.hypercallExits = mask;
    return DONE;
  });
}
