import type { CpuidEntry2, KvmVcpu } from '../state.js';

/**
 * KVM_SET_CPUID2: what CPUID answers on this vCPU when the guest asks the host. Without events, because a VMM calls it
 * for every vCPU while it creates the machine. Linux arch/x86/kvm/cpuid.c kvm_vcpu_ioctl_set_cpuid2().
 */
export function kvmSetCpuid2(vcpu: KvmVcpu, entries: readonly CpuidEntry2[]): void {
  vcpu.cpuid = entries;
}
