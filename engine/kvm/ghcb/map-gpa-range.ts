import type { KvmExit } from '../run/kvm-exit.js';
import type { KvmVm } from '../state.js';

/** The hypercall by which page state changes reach the VMM. Linux include/uapi/linux/kvm_para.h. */
export const KVM_HC_MAP_GPA_RANGE = 12;

/** KVM_MAP_GPA_RANGE_ENCRYPTED, KVM_MAP_GPA_RANGE_PAGE_SZ_2M. */
const ENCRYPTED = 0x10n;
const PAGE_SZ_2M = 0x1n;

/** user_exit_on_hypercall(): the VMM has enabled KVM_CAP_EXIT_HYPERCALL for it. */
export function hasHypercallExit(vm: KvmVm, nr: number): boolean {
  return ((vm.hypercallExits >>> nr) & 1) === 1;
}

/** KVM_EXIT_HYPERCALL for a range of pages; `size2M` is the hint in bits 3:0. */
export function mapGpaRange(
  gpa: bigint,
  pages: bigint,
  isPrivate: boolean,
  size2M: boolean,
): Extract<KvmExit, { reason: 'KVM_EXIT_HYPERCALL' }> {
  const attributes = (isPrivate ? ENCRYPTED : 0n) | (size2M ? PAGE_SZ_2M : 0n);
  return {
    reason: 'KVM_EXIT_HYPERCALL',
    nr: KVM_HC_MAP_GPA_RANGE,
    args: [gpa, pages, attributes, 0n, 0n, 0n],
    ret: 0n,
  };
}
