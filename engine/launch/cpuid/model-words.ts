import type { CpuModel } from '../../spec/cpu-models.js';

/** Feature words of a CPU model, named by leaf and register. QEMU target/i386/cpu.c `builtin_x86_defs`. */
export interface FeatureWords {
  readonly leaf1Ecx: number;
  readonly leaf1Edx: number;
  readonly leaf7Ebx: number;
  readonly leaf7Ecx: number;
  readonly leaf7Edx: number;
  readonly leaf7Sub1Eax: number;
  readonly xsaveEax: number;
  readonly ext1Ecx: number;
  readonly ext1Edx: number;
  readonly ext8Ebx: number;
  readonly svmEdx: number;
  readonly ext21Eax: number;
  /** Highest extended leaf. */
  readonly xlevel: number;
  readonly brand: string;
  /** 8000_001D sub-leaf 3 EDX[2], which newer versions of the models took back because firmware refuses it. */
  readonly l3ComplexIndexing: boolean;
  readonly l2Kilobytes: number;
}

const EPYC: FeatureWords = {
  leaf1Ecx: 0x76d8_320b,
  leaf1Edx: 0x078b_fbff,
  leaf7Ebx: 0x209c_01a9,
  leaf7Ecx: 0,
  leaf7Edx: 0,
  leaf7Sub1Eax: 0,
  xsaveEax: 0x7,
  ext1Ecx: 0x0040_03f5,
  ext1Edx: 0x2e50_0800,
  ext8Ebx: 0,
  svmEdx: 0x9,
  ext21Eax: 0,
  xlevel: 0x8000_001e,
  brand: 'AMD EPYC Processor',
  l3ComplexIndexing: true,
  l2Kilobytes: 512,
};

const ROME: FeatureWords = {
  ...EPYC,
  leaf7Ebx: 0x219c_01a9,
  leaf7Ecx: 0x0040_0004,
  xsaveEax: 0xf,
  ext1Ecx: 0x00c0_03f5,
  ext8Ebx: 0x9205,
  brand: 'AMD EPYC-Rome Processor',
};

const MILAN: FeatureWords = {
  ...ROME,
  leaf1Ecx: 0x76da_320b,
  leaf7Ebx: 0x219c_07a9,
  leaf7Ecx: 0x0040_000c,
  leaf7Edx: 0x10,
  ext8Ebx: 0x0100_d205,
  svmEdx: 0x1000_0009,
  brand: 'AMD EPYC-Milan Processor',
};

const GENOA: FeatureWords = {
  ...MILAN,
  leaf7Ebx: 0xf1bf_07a9,
  leaf7Ecx: 0x0041_5f4e,
  leaf7Sub1Eax: 0x20,
  ext8Ebx: 0x1102_d205,
  svmEdx: 0x1200_0009,
  ext21Eax: 0x145,
  xlevel: 0x8000_0022,
  brand: 'AMD EPYC-Genoa Processor',
  l3ComplexIndexing: false,
  l2Kilobytes: 1024,
};

const TURIN: FeatureWords = {
  ...GENOA,
  // MOVDIRI, MOVDIR64B; AVX512_VP2INTERSECT; AVX_VNNI.
  leaf7Ecx: 0x1841_5f4e,
  leaf7Edx: 0x110,
  leaf7Sub1Eax: 0x30,
  brand: 'AMD EPYC-Turin Processor',
};

const IBPB = 1 << 12;

/** The words of one version of a model. What newer versions than QEMU 10.0's add is left out. */
export function featureWords(model: CpuModel): FeatureWords {
  const { version } = model;
  switch (model.generation) {
    case 'naples':
      if (version === 1) return EPYC;
      if (version === 2) return { ...EPYC, ext8Ebx: IBPB };
      return {
        ...EPYC,
        // CLZERO, XSAVEERPTR; PERFCTR_CORE; XSAVES.
        ext8Ebx: IBPB | 0x5,
        ext1Ecx: EPYC.ext1Ecx | (1 << 23),
        xsaveEax: 0xf,
        l3ComplexIndexing: version < 4,
      };
    case 'rome':
      return {
        ...ROME,
        // IBRS, AMD_SSBD; version 4 has no XSAVES.
        ext8Ebx: version >= 2 ? ROME.ext8Ebx | (1 << 14) | (1 << 24) : ROME.ext8Ebx,
        xsaveEax: version >= 4 ? 0x7 : ROME.xsaveEax,
        l3ComplexIndexing: version < 3,
      };
    case 'milan':
      if (version === 1) return MILAN;
      return {
        ...MILAN,
        // VAES, VPCLMULQDQ; STIBP always on, PSFD; NoNestedDataBp, LfenceAlwaysSerializing, NullSelectClearsBase.
        leaf7Ecx: MILAN.leaf7Ecx | (1 << 9) | (1 << 10),
        ext8Ebx: MILAN.ext8Ebx | (1 << 17) | (1 << 28),
        ext21Eax: 0x45,
        xlevel: 0x8000_0021,
        l3ComplexIndexing: false,
      };
    case 'genoa':
      return GENOA;
    case 'turin':
      return TURIN;
  }
}
