import type { TcbLayout, TcbVersion } from './tcb-version.js';
import type { ProcessorName } from './versions.js';

/** What attestation on a processor needs beyond ProcessorProfile. */
export interface AttestationProfile {
  readonly tcbLayout: TcbLayout;
  /**
   * The emulated TCB: ascending numbers, so that nobody takes them for patch levels of a real part and a field in the
   * wrong place shows.
   */
  readonly currentTcb: TcbVersion;
  /** Bytes of CHIP_ID that are not zero (Turin: AMD KDS, github.com/virtee/snpguest). */
  readonly chipIdBytes: 8 | 64;
  /** LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR: the emulated firmware never ran SNP_VERIFY_MITIGATION. */
  readonly mitigations: bigint;
  /** PLATFORM_INFO bit 2: server memory has ECC. */
  readonly ecc: boolean;
  /** Version of the attestation report from each firmware minor version on, descending. */
  readonly reportVersions: readonly { readonly fromMinor: number; readonly version: 2 | 3 | 5 }[];
}

/**
 * Published reports: firmware 1.49 and 1.51 on Milan write version 2, 1.55 on Milan and Genoa version 3, 1.55 on Turin
 * version 5. AMD pub. 56860 describes version 5 from revision 1.58 on. What lies between is (U).
 */
const FAMILY_19H: AttestationProfile = {
  tcbLayout: '19h',
  currentTcb: { bootLoader: 1, tee: 2, snp: 3, microcode: 4 },
  chipIdBytes: 64,
  mitigations: 0n,
  ecc: true,
  reportVersions: [
    { fromMinor: 58, version: 5 },
    { fromMinor: 55, version: 3 },
    { fromMinor: 0, version: 2 },
  ],
};

export const ATTESTATION_PROFILES: Readonly<Record<ProcessorName, AttestationProfile>> = {
  milan: FAMILY_19H,
  genoa: FAMILY_19H,
  turin: {
    tcbLayout: '1ah',
    currentTcb: { fmc: 1, bootLoader: 2, tee: 3, snp: 4, microcode: 5 },
    chipIdBytes: 8,
    mitigations: 0n,
    ecc: true,
    reportVersions: [
      { fromMinor: 55, version: 5 },
      { fromMinor: 0, version: 3 },
    ],
  },
};

export function reportVersion(processor: ProcessorName, firmwareMinor: number): 2 | 3 | 5 {
  const { reportVersions } = ATTESTATION_PROFILES[processor];
  return reportVersions.find((row) => firmwareMinor >= row.fromMinor)?.version ?? 2;
}

/** Product lines by CPUID family and model. github.com/virtee/sev src/lib.rs `Generation`. */
export type Product = 'Milan' | 'Genoa' | 'Turin' | 'Venice';

const MODELS: readonly (readonly [Product, family: number, first: number, last: number])[] = [
  ['Milan', 0x19, 0x00, 0x0f],
  // With Bergamo and Siena.
  ['Genoa', 0x19, 0x10, 0x1f],
  ['Genoa', 0x19, 0xa0, 0xaf],
  ['Turin', 0x1a, 0x00, 0x11],
  ['Venice', 0x1a, 0x50, 0x57],
  ['Venice', 0x1a, 0x90, 0xaf],
  ['Venice', 0x1a, 0xc0, 0xc7],
];

/** Family and model with their extended parts added in, as CPUID Fn0000_0001 says. */
export function productOf(family: number, model: number): Product | undefined {
  return MODELS.find(([, f, first, last]) => f === family && model >= first && model <= last)?.[0];
}

export interface FamilyModelStepping {
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
}

/** Splits CPUID Fn0000_0001 EAX. AMD64 APM vol. 3, Fn0000_0001. */
export function familyModelStepping(signature: number): FamilyModelStepping {
  const base = (signature >>> 8) & 0xf;
  const extended = base === 0xf;
  return {
    family: base + (extended ? (signature >>> 20) & 0xff : 0),
    model: ((signature >>> 4) & 0xf) | (extended ? ((signature >>> 16) & 0xf) << 4 : 0),
    stepping: signature & 0xf,
  };
}
