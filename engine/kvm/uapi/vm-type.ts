/** Types of KVM_CREATE_VM. Linux arch/x86/include/uapi/asm/kvm.h. */
export const VM_TYPE = {
  KVM_X86_DEFAULT_VM: 0,
  KVM_X86_SW_PROTECTED_VM: 1,
  KVM_X86_SEV_VM: 2,
  KVM_X86_SEV_ES_VM: 3,
  KVM_X86_SNP_VM: 4,
} as const;

export function vmTypeName(type: number): string {
  return Object.entries(VM_TYPE).find(([, value]) => value === type)?.[0] ?? String(type);
}
