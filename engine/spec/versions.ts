/**
 * What differs between processor generations, SNP firmware ABIs and KVM releases: one table each, and no other
 * place decides by version. Sources stand beside the values; (U) marks values that no source confirms.
 */

export const PROCESSORS = ['milan', 'genoa', 'turin'] as const;
export type ProcessorName = (typeof PROCESSORS)[number];

export const KVM_RELEASES = ['v15', 'v15+fixes', '6.11', '6.18'] as const;
export type KvmRelease = (typeof KVM_RELEASES)[number];

/** Oldest and newest SNP firmware ABI minor version that the tables know; major is 1. */
export const FIRMWARE_ABI_MIN = 51;
export const FIRMWARE_ABI_MAX = 59;

export interface ProcessorProfile {
  readonly name: ProcessorName;
  /** CPUID Fn0000_0001 EAX of the physical part. */
  readonly signature: number;
  /** CPUID 8000_001F EBX[5:0]. */
  readonly cBit: number;
  /** CPUID 8000_001F EBX[11:6]: physical address bits lost when memory encryption is on. */
  readonly reducedPhysBits: number;
  readonly vmpls: number;
  /** CPUID 8000_001F ECX: highest ASID (U). */
  readonly maxAsid: number;
  /** CPUID 8000_001F EDX: lowest ASID of a plain SEV guest, set by BIOS (U); SEV-ES and SNP use 1 … this-1. */
  readonly minSevAsid: number;
  /** SEV_FEATURES bit 5. */
  readonly debugSwap: boolean;
  /** CPUID 8000_001F EAX bit 6: the RMPQUERY instruction. */
  readonly rmpquery: boolean;
  /** CPUID 8000_001F EAX bit 9: TSC_AUX is part of the VMSA, and KVM does not intercept it (U for Milan). */
  readonly tscAuxVirtualization: boolean;
  readonly smt: boolean;
}

export const PROCESSOR_PROFILES: Readonly<Record<ProcessorName, ProcessorProfile>> = {
  milan: {
    name: 'milan',
    signature: 0x00a0_0f11,
    cBit: 51,
    reducedPhysBits: 1,
    vmpls: 4,
    maxAsid: 509,
    minSevAsid: 100,
    debugSwap: false,
    rmpquery: false,
    tscAuxVirtualization: false,
    smt: true,
  },
  genoa: {
    name: 'genoa',
    signature: 0x00a1_0f11,
    cBit: 51,
    reducedPhysBits: 1,
    vmpls: 4,
    maxAsid: 1006,
    minSevAsid: 100,
    debugSwap: true,
    rmpquery: true,
    tscAuxVirtualization: true,
    smt: true,
  },
  turin: {
    name: 'turin',
    signature: 0x00b0_0f21,
    cBit: 51,
    reducedPhysBits: 1,
    vmpls: 4,
    maxAsid: 1006,
    minSevAsid: 100,
    debugSwap: true,
    rmpquery: true,
    tscAuxVirtualization: true,
    smt: true,
  },
};

export interface FirmwareProfile {
  readonly major: number;
  readonly minor: number;
  /** SNP_INIT_EX with a list of HV-Fixed ranges (Linux drivers/crypto/ccp/sev-dev.c: from 1.52). */
  readonly initEx: boolean;
  /** Policy bits beyond the base set that this ABI knows; an unknown bit is MBZ. Minor versions of introduction: (U). */
  readonly knownPolicyBits: bigint;
  /** SNP_LAUNCH_FINISH answers INVALID_PARAM to an ID block without author key (virtee/sev-guest #13; versions (U)). */
  readonly idBlockNeedsAuthorKey: boolean;
}

const BASE_POLICY_BITS = 0x1f_ffffn; // ABI minor and major, SMT, bit 17, MIGRATE_MA, DEBUG, SINGLE_SOCKET

export function firmwareProfile(minor: number): FirmwareProfile {
  let known = BASE_POLICY_BITS;
  if (minor >= 55) known |= 0xfn << 21n; // CXL_ALLOW, MEM_AES_256_XTS, RAPL_DIS, CIPHERTEXT_HIDING_DRAM (U: minor)
  if (minor >= 58) known |= 1n << 25n; // PAGE_SWAP_DISABLE (Linux drivers/crypto/ccp/sev-dev.c sev_get_snp_policy_bits)
  return { major: 1, minor, initEx: minor >= 52, knownPolicyBits: known, idBlockNeedsAuthorKey: minor < 52 };
}

export interface KvmProfile {
  readonly release: KvmRelease;
  /** v15: SNP_GCTX_CREATE before the parameter checks, so that a refused LAUNCH_START cannot be retried. */
  readonly contextBeforeChecks: boolean;
  /** SNP_POLICY_MASK_VALID: any other policy bit is -EINVAL. */
  readonly policyMask: bigint;
  /** Bits that are accepted beyond policyMask if the firmware reports them (SNP_FEATURE_INFO). */
  readonly policyFeatureBits: bigint;
  readonly policySmtRequired: boolean;
  readonly policySingleSocketRefused: boolean;
  /** A page that populate finds already there: v15 refuses any, 6.11 only a prepared one. */
  readonly populateRefusesPresent: boolean;
  /** errno of an assigned RMP entry in post_populate. */
  readonly assignedErrno: 'EINVAL' | 'EEXIST';
  /** v15 returned the number of bytes not copied instead of -EFAULT from post_populate. */
  readonly copyFaultReturnsCount: boolean;
  /** v15 checks the PRIVATE attribute per page inside post_populate, 6.11 before the RMP in populate. */
  readonly attributeCheckInPopulate: boolean;
  /** A failed post_populate punches the page out of gmem again. */
  readonly populateFailurePunches: boolean;
  /** SNP VMs exist only if SNP_INIT worked (sev_hardware_setup() asks is_sev_snp_initialized()); before, the RMP was enough. */
  readonly snpNeedsInit: boolean;
  /** KVM_SEV_INIT2 takes SecureTSC (bit 9) for SNP VMs where the processor has it; LAUNCH_START then asks for the host's frequency. */
  readonly secureTsc: boolean;
  /** KVM_SEV_INIT2 allocates the pages of guest requests; v15 takes pages of the guest for them. */
  readonly guestRequestBuffers: boolean;
  /** How a list of page state changes is cut into exits: as posted, with the fix-up as posted (23/23), as merged. */
  readonly pscAlgorithm: 'v15' | 'v15+fixes' | '6.11';
  /** The GHCB checks refuse request and response pages that are not aligned or equal; v15 wants RAX and RBX instead. */
  readonly guestRequestPagesChecked: boolean;
  /** An extended guest request asks the VMM for certificates (KVM_EXIT_VMGEXIT); without it KVM gives an empty table. */
  readonly extGuestRequestExits: boolean;
  /** A refused AP creation nevertheless takes the VMSA from the target vCPU and parks it. */
  readonly apCreationParksOnError: boolean;
  /** SEV_FEATURES that a new VMSA must have in common with the VM: the two injection modes, or all. */
  readonly apCreationFeatureMask: bigint;
  /** npf_interception() calls the RMP fault handler also after an error of the MMU (repaired by patch 22/23 of May 2024). */
  readonly rmpFaultAfterError: boolean;
  /**
   * fast_page_fault() takes a write to a mapped page as spurious although it is private where the frame is shared, or
   * the reverse: the guest faults for ever (repaired by patch 21/23 of May 2024).
   */
  readonly fastPageFaultIgnoresPrivate: boolean;
  /** guest_memfd remembers that a page is prepared; before, each fault looks into the RMP. */
  readonly gmemPrepareOnce: boolean;
}

const V15: KvmProfile = {
  release: 'v15',
  contextBeforeChecks: true,
  policyMask: 0x1b_ffffn, // bits 17:0, 19, 20
  policyFeatureBits: 0n,
  policySmtRequired: true,
  policySingleSocketRefused: true,
  populateRefusesPresent: true,
  assignedErrno: 'EINVAL',
  copyFaultReturnsCount: true,
  attributeCheckInPopulate: false,
  populateFailurePunches: true,
  snpNeedsInit: false,
  secureTsc: false,
  guestRequestBuffers: false,
  pscAlgorithm: 'v15',
  guestRequestPagesChecked: false,
  extGuestRequestExits: true,
  apCreationParksOnError: true,
  apCreationFeatureMask: 0x18n, // RestrictedInjection, AlternateInjection
  rmpFaultAfterError: true,
  fastPageFaultIgnoresPrivate: true,
  gmemPrepareOnce: false,
};

const V15_FIXES: KvmProfile = {
  ...V15,
  release: 'v15+fixes',
  pscAlgorithm: 'v15+fixes',
  rmpFaultAfterError: false,
  fastPageFaultIgnoresPrivate: false,
};

const V6_11: KvmProfile = {
  ...V15_FIXES,
  release: '6.11',
  contextBeforeChecks: false,
  populateRefusesPresent: false,
  assignedErrno: 'EEXIST',
  copyFaultReturnsCount: false,
  attributeCheckInPopulate: true,
  guestRequestBuffers: true,
  pscAlgorithm: '6.11',
  guestRequestPagesChecked: true,
  extGuestRequestExits: false,
  apCreationParksOnError: false,
  populateFailurePunches: false,
  gmemPrepareOnce: true,
};

export const KVM_PROFILES: Readonly<Record<KvmRelease, KvmProfile>> = {
  v15: V15,
  'v15+fixes': V15_FIXES,
  '6.11': V6_11,
  '6.18': {
    ...V6_11,
    release: '6.18',
    policySmtRequired: false,
    policySingleSocketRefused: false,
    // CXL_ALLOW, MEM_AES_256_XTS, RAPL_DIS, CIPHERTEXT_HIDING_DRAM, PAGE_SWAP_DISABLE
    policyFeatureBits: 0x3e0_0000n,
    snpNeedsInit: true,
    secureTsc: true,
    apCreationFeatureMask: 0xffff_ffff_ffff_ffffn,
  },
};
