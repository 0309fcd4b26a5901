import type { ProcessorName } from './versions.js';

/**
 * What the policy and parameter checks of the firmware need to know of a platform beyond ProcessorProfile.
 * Generations: AMD EPYC 7003, 9004 and 9005 product briefs; which of them each firmware reports is not confirmed.
 */
export interface PlatformFeatures {
  /** Memory encryption can use AES-256-XTS; otherwise AES-128-XEX only. */
  readonly aes256Xts: boolean;
  /** Ciphertext hiding for DRAM can be switched on by SNP_INIT_EX. */
  readonly ciphertextHiding: boolean;
  /** RAPL can be switched off by SNP_INIT_EX. */
  readonly raplDisable: boolean;
  /** Supervisor shadow stack bit in VMPL masks (CPUID 8000_001F EAX bit 7). */
  readonly vmplSss: boolean;
  /** Frequency of the host's TSC in kHz, of a usual part. */
  readonly tscKhz: number;
}

export const PLATFORM_FEATURES: Readonly<Record<ProcessorName, PlatformFeatures>> = {
  milan: {
    aes256Xts: false,
    ciphertextHiding: false,
    raplDisable: false,
    vmplSss: false,
    tscKhz: 2_450_000,
  },
  genoa: {
    aes256Xts: true,
    ciphertextHiding: false,
    raplDisable: true,
    vmplSss: true,
    tscKhz: 2_400_000,
  },
  turin: {
    aes256Xts: true,
    ciphertextHiding: true,
    raplDisable: true,
    vmplSss: true,
    tscKhz: 2_700_000,
  },
};
