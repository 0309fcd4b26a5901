/** PAGE_TYPE of SNP_LAUNCH_UPDATE. AMD pub. 56860, SNP_LAUNCH_UPDATE; Linux KVM_SEV_SNP_PAGE_TYPE_*. */
export const PAGE_TYPE = { NORMAL: 1, VMSA: 2, ZERO: 3, UNMEASURED: 4, SECRETS: 5, CPUID: 6 } as const;
export type PageTypeName = keyof typeof PAGE_TYPE;
export type PageType = (typeof PAGE_TYPE)[PageTypeName];

export function pageTypeName(value: number): PageTypeName | undefined {
  return (Object.keys(PAGE_TYPE) as PageTypeName[]).find((name) => PAGE_TYPE[name] === value);
}

/** GPA that KVM gives every VMSA page: (1 << 48) - 4096. Linux sev.c `snp_launch_update_vmsa`. */
export const VMSA_GPA = 0xffff_ffff_f000;
