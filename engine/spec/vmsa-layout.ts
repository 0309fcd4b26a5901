/**
 * The VMSA, 4096 bytes. Linux arch/x86/include/asm/svm.h `struct sev_es_save_area`; AMD APM volume 2, appendix B,
 * table B-4. Names in lower case with dashes, as manifests spell them.
 */

export interface VmsaField {
  readonly name: string;
  readonly offset: number;
  /** Bytes: 1, 2, 4 or 8. */
  readonly size: 1 | 2 | 4 | 8;
  readonly doc: string;
}

export const VMSA_SIZE = 4096;

/** Segment registers: 16 bytes each, {u16 selector, u16 attrib, u32 limit, u64 base}. */
export const VMSA_SEGMENTS = {
  es: 0x000,
  cs: 0x010,
  ss: 0x020,
  ds: 0x030,
  fs: 0x040,
  gs: 0x050,
  gdtr: 0x060,
  ldtr: 0x070,
  idtr: 0x080,
  tr: 0x090,
} as const;
export type VmsaSegment = keyof typeof VMSA_SEGMENTS;

export const VMSA_SEGMENT_PARTS = [
  { name: 'selector', offset: 0, size: 2, doc: 'Selector.' },
  {
    name: 'attrib',
    offset: 2,
    size: 2,
    doc: 'Attributes, 12 bits: type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11. 0x9B is 16-bit code, 0x93 data.',
  },
  { name: 'limit', offset: 4, size: 4, doc: 'Limit in bytes, after scaling by G.' },
  { name: 'base', offset: 8, size: 8, doc: 'Base address.' },
] as const;

const row = (name: string, offset: number, size: VmsaField['size'], doc: string): VmsaField => ({
  name,
  offset,
  size,
  doc,
});

/** Everything in the VMSA that software may give a value at launch, except segments. */
export const VMSA_FIELDS: readonly VmsaField[] = [
  row('rip', 0x178, 8, 'Instruction pointer; in real mode the offset from the base of CS.'),
  row('rsp', 0x1d8, 8, 'Stack pointer.'),
  row('rflags', 0x170, 8, 'Flags; bit 1 is always one.'),
  row('rax', 0x1f8, 8, 'RAX.'),
  row('rbx', 0x318, 8, 'RBX.'),
  row('rcx', 0x308, 8, 'RCX.'),
  row('rdx', 0x310, 8, 'RDX; at reset the CPUID signature of the virtual CPU.'),
  row('rsi', 0x330, 8, 'RSI.'),
  row('rdi', 0x338, 8, 'RDI.'),
  row('rbp', 0x328, 8, 'RBP.'),
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((n) => row(`r${n}`, 0x340 + (n - 8) * 8, 8, `R${n}.`)),
  row('cr0', 0x158, 8, 'CR0; at reset ET (0x10).'),
  row('cr2', 0x240, 8, 'CR2, the address of the last page fault.'),
  row('cr3', 0x150, 8, 'CR3, the page table root.'),
  row('cr4', 0x148, 8, 'CR4; SNP guests start with MCE (0x40).'),
  row('efer', 0x0d0, 8, 'EFER; bit 12 SVME must be one for VMRUN.'),
  row('xcr0', 0x3e8, 8, 'XCR0; bit 0 (x87) is always one.'),
  row('xss', 0x140, 8, 'XSS.'),
  row('dr6', 0x168, 8, 'DR6.'),
  row('dr7', 0x160, 8, 'DR7.'),
  row('dr0', 0x180, 8, 'DR0; used with DebugVirtualization.'),
  row('dr1', 0x188, 8, 'DR1; used with DebugVirtualization.'),
  row('dr2', 0x190, 8, 'DR2; used with DebugVirtualization.'),
  row('dr3', 0x198, 8, 'DR3; used with DebugVirtualization.'),
  row('g-pat', 0x268, 8, 'Guest PAT.'),
  row('mxcsr', 0x408, 4, 'MXCSR.'),
  row('x87-fcw', 0x410, 2, 'x87 control word.'),
  row('x87-fsw', 0x40e, 2, 'x87 status word.'),
  row('x87-ftw', 0x40c, 2, 'x87 tag word.'),
  row('sev-features', 0x3b0, 8, 'SEV_FEATURES of this vCPU; overrides `vm.vmsa-features`.'),
  row('vmpl', 0x0ca, 1, 'Privilege level of the guest (VMPL) at which this vCPU starts.'),
  row('cpl', 0x0cb, 1, 'Current privilege level.'),
  row('virtual-tom', 0x3c8, 8, 'Virtual top of memory.'),
  row('star', 0x200, 8, 'STAR.'),
  row('lstar', 0x208, 8, 'LSTAR.'),
  row('cstar', 0x210, 8, 'CSTAR.'),
  row('sfmask', 0x218, 8, 'SFMASK.'),
  row('kernel-gs-base', 0x220, 8, 'KERNEL_GS_BASE.'),
  row('sysenter-cs', 0x228, 8, 'SYSENTER_CS.'),
  row('sysenter-esp', 0x230, 8, 'SYSENTER_ESP.'),
  row('sysenter-eip', 0x238, 8, 'SYSENTER_EIP.'),
  row('dbgctl', 0x270, 8, 'DBGCTL.'),
  row('pkru', 0x2e8, 4, 'PKRU.'),
  row('tsc-aux', 0x2ec, 4, 'TSC_AUX.'),
  row('u-cet', 0x0c0, 8, 'U_CET.'),
  row('s-cet', 0x1e0, 8, 'S_CET.'),
  row('ssp', 0x1e8, 8, 'Shadow stack pointer.'),
];

/** Any single value of the VMSA by its name; segment parts are `cs.base`, `gdtr.limit` and so on. */
export const VMSA_FIELD_BY_NAME: ReadonlyMap<string, VmsaField> = new Map([
  ...VMSA_FIELDS.map((field) => [field.name, field] as const),
  ...(Object.keys(VMSA_SEGMENTS) as VmsaSegment[]).flatMap((segment) =>
    VMSA_SEGMENT_PARTS.map((part) => {
      const name = `${segment}.${part.name}`;
      return [name, { ...part, name, offset: VMSA_SEGMENTS[segment] + part.offset }] as const;
    }),
  ),
]);

/** Bits of SEV_FEATURES. AMD APM volume 2, section 15.36; Linux asm/svm.h SVM_SEV_FEAT_*. */
export const SEV_FEATURES: readonly { readonly bit: number; readonly name: string }[] = [
  { bit: 0, name: 'SNPActive' },
  { bit: 1, name: 'vTOM' },
  { bit: 2, name: 'ReflectVC' },
  { bit: 3, name: 'RestrictedInjection' },
  { bit: 4, name: 'AlternateInjection' },
  { bit: 5, name: 'DebugVirtualization' },
  { bit: 6, name: 'PreventHostIBS' },
  { bit: 7, name: 'BTBIsolation' },
  { bit: 8, name: 'VmplSSS' },
  { bit: 9, name: 'SecureTSC' },
  { bit: 10, name: 'VmgexitParameter' },
  { bit: 12, name: 'IbsVirtualization' },
  { bit: 14, name: 'VmsaRegProt' },
  { bit: 15, name: 'SmtProtection' },
];
export const SNP_ACTIVE = 1n;
