import type { Fault } from '../../fault.js';
import { type ExitHandling, TO_USERSPACE } from '../run/kvm-exit.js';
import type { VcpuRunState } from '../state.js';

/** KVM_SYSTEM_EVENT_SEV_TERM. */
export const KVM_SYSTEM_EVENT_SEV_TERM = 6;

/** KVM_EXIT_SYSTEM_EVENT with the GHCB MSR: the guest gave a reason, or KVM ends it because of a fault. */
export function terminate(
  arch: VcpuRunState,
  why: { readonly termination: { readonly set: number; readonly code: number } } | { readonly fault: Fault },
): ExitHandling {
  arch.exit = { reason: 'KVM_EXIT_SYSTEM_EVENT', type: KVM_SYSTEM_EVENT_SEV_TERM, data: [arch.vmcb.ghcb], ...why };
  return 'fault' in why ? { ...TO_USERSPACE, fault: why.fault } : TO_USERSPACE;
}
