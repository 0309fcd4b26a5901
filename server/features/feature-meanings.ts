/** What each bit of SEV_FEATURES does, for hover. AMD APM volume 2, section 15.36. */
export const FEATURE_MEANINGS: Readonly<Record<string, string>> = {
  SNPActive: 'The vCPU runs as an SNP guest. KVM always sets it.',
  vTOM: 'Addresses below VIRTUAL_TOM are private, without C-bits in page tables.',
  ReflectVC: '#VC goes to the next more privileged VMPL.',
  RestrictedInjection: 'The host can inject #HV only.',
  AlternateInjection: 'Interrupts are injected through the VMSA by a more privileged VMPL.',
  DebugVirtualization: 'Debug registers are swapped by hardware ("DebugSwap").',
  PreventHostIBS: 'The host cannot sample this vCPU with IBS.',
  BTBIsolation: 'The branch target buffer is flushed against the host.',
  VmplSSS: 'Supervisor shadow stacks are checked by VMPL.',
  SecureTSC: 'TSC scale and offset come from the firmware; the host cannot change them.',
  VmgexitParameter: 'VMGEXIT takes a parameter.',
  IbsVirtualization: 'IBS is virtualised for the guest.',
  VmsaRegProt: 'Registers in the VMSA are masked with a nonce on each exit.',
  SmtProtection: 'The sibling thread is kept idle while this vCPU runs.',
};
