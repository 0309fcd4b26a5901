import { PROCESSOR_PROFILES, type ProcessorName, type ProcessorProfile } from './versions.js';

/**
 * What CPUID returns on the emulated processors: the values against which SNP firmware checks a guest's CPUID
 * page. Put together from the EPYC models of QEMU target/i386/cpu.c and from public register dumps; the real parts
 * may differ in single bits, so nothing here is confirmed. Every QEMU model of a generation is a subset.
 */
export interface CpuidRegisters {
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

export interface HostLeaf extends CpuidRegisters {
  readonly function: number;
  /** Sub-leaf (ECX) of functions that have any. */
  readonly index?: number;
}

/** Functions whose result depends on ECX. Linux arch/x86/coco/sev/shared.c `snp_cpuid_get_validated_func`. */
const INDEXED = new Set([
  0x4, 0x7, 0xb, 0xd, 0xf, 0x10, 0x12, 0x14, 0x17, 0x18, 0x1d, 0x1e, 0x1f, 0x24, 0x8000_001d, 0x8000_0020, 0x8000_0026,
]);

export function isIndexedFunction(fn: number): boolean {
  return INDEXED.has(fn);
}

/** A number with these bits set. */
const bits = (...numbers: number[]): number => numbers.reduce((word, n) => (word | (1 << n)) >>> 0, 0);

/** What differs between the generations. */
interface Generation {
  readonly maxBasic: number;
  readonly maxExtended: number;
  readonly leaf7: readonly [ebx: number, ecx: number, edx: number];
  readonly leaf7Sub1Eax: number;
  /** XCR0 and the sizes and offsets of its components above the legacy area. */
  readonly xcr0: number;
  readonly xsave: readonly (readonly [index: number, size: number, offset: number, flags: number])[];
  readonly addressWidths: number;
  readonly ext8Ebx: number;
  readonly svmEdx: number;
  readonly sevEax: number;
  readonly ext21: readonly [eax: number, ecx: number];
  /** 8000_0022 EAX; undefined: no such leaf. */
  readonly perfmon?: number;
}

const AVX = [2, 0x100, 0x240, 0] as const;
const AVX512 = [
  [5, 0x40, 0x340, 0],
  [6, 0x200, 0x380, 0],
  [7, 0x400, 0x580, 0],
] as const;
const PKRU = [9, 0x8, 0x980, 0] as const;
/** User and supervisor CET state: XSS components, flag 1. */
const CET = [
  [11, 0x10, 0, 1],
  [12, 0x18, 0, 1],
] as const;

const MILAN: Generation = {
  maxBasic: 0x10,
  maxExtended: 0x8000_0023,
  leaf7: [0x219c_97a9, 0x0040_069c, bits(4)],
  leaf7Sub1Eax: 0,
  xcr0: 0x207,
  xsave: [AVX, PKRU, ...CET],
  addressWidths: 0x3030,
  ext8Ebx: 0x111e_f657,
  svmEdx: 0x119b_9cff,
  sevEax: 0x0101_fd3f,
  // NoNestedDataBp, LfenceAlwaysSerializing, SmmPgCfgLock, VERW clears, NullSelectClearsBase, SBPB, IBPB_BRTYPE.
  ext21: [bits(0, 2, 3, 5, 6, 27, 28), 0],
};

const GENOA: Generation = {
  ...MILAN,
  maxExtended: 0x8000_0028,
  leaf7: [0xf1bf_97a9, 0x0041_5fde, bits(4)],
  leaf7Sub1Eax: bits(5),
  xcr0: 0x2e7,
  xsave: [AVX, ...AVX512, PKRU, ...CET],
  addressWidths: 0x3934,
  ext8Ebx: 0x791e_f257,
  svmEdx: 0x1ebf_bcff,
  sevEax: 0x010d_ffff,
  // Milan's, FsGsKernelGsBaseNonSerializing, UpperAddressIgnore, AutomaticIBRS, NoSmmCtlMsr.
  ext21: [bits(0, 1, 2, 3, 5, 6, 7, 8, 9, 27, 28), 0],
  perfmon: 0x7,
};

const TURIN: Generation = {
  ...GENOA,
  leaf7: [0xf1bf_97a9, 0x1841_5fde, bits(4, 8)],
  leaf7Sub1Eax: bits(4, 5),
  sevEax: 0x0fad_ffff,
  // Genoa's, PREFETCHI, ERAPS, SRSO_NO, SRSO_USER_KERNEL_NO; TSA_SQ_NO, TSA_L1_NO.
  ext21: [bits(0, 1, 2, 3, 5, 6, 7, 8, 9, 20, 24, 27, 28, 29, 30), bits(1, 2)],
};

const GENERATIONS: Readonly<Record<ProcessorName, Generation>> = { milan: MILAN, genoa: GENOA, turin: TURIN };

/** OSXSAVE (27) and the hypervisor bit (31) are taken as the guest gives them; no TSC deadline timer (24). */
const LEAF_1_ECX = 0xfefa_320b;
const LEAF_1_EDX = 0x178b_fbff;

const VENDOR = { ebx: 0x6874_7541, ecx: 0x444d_4163, edx: 0x6974_6e65 }; // AuthenticAMD

const leaf = (fn: number, registers: Partial<CpuidRegisters> = {}, index?: number): HostLeaf => ({
  function: fn,
  ...(index === undefined ? {} : { index }),
  eax: 0,
  ebx: 0,
  ecx: 0,
  edx: 0,
  ...registers,
});

function build(processor: ProcessorProfile): readonly HostLeaf[] {
  const g = GENERATIONS[processor.name];
  return [
    leaf(0x0, { eax: g.maxBasic, ...VENDOR }),
    leaf(0x1, { eax: processor.signature, ebx: 0x0800, ecx: LEAF_1_ECX, edx: LEAF_1_EDX }),
    leaf(0x5, { eax: 0x40, ebx: 0x40, ecx: 0x3, edx: 0x11 }),
    leaf(0x6, { eax: 0x4, ecx: 0x1 }),
    leaf(0x7, { eax: 1, ebx: g.leaf7[0], ecx: g.leaf7[1], edx: g.leaf7[2] }, 0),
    leaf(0x7, { eax: g.leaf7Sub1Eax }, 1),
    leaf(0xd, { eax: g.xcr0, ebx: 0x240, ecx: 0x988 }, 0),
    leaf(0xd, { eax: 0xf, ebx: 0x240, ecx: 0x1800 }, 1),
    ...g.xsave.map(([index, size, offset, flags]) => leaf(0xd, { eax: size, ebx: offset, ecx: flags }, index)),
    leaf(0x8000_0000, { eax: g.maxExtended, ...VENDOR }),
    leaf(0x8000_0001, { eax: processor.signature, ecx: 0x75c2_37ff, edx: 0x2fd3_fbff }),
    leaf(0x8000_0007, { ebx: 0x1b, edx: 0x6799 }),
    leaf(0x8000_0008, { eax: g.addressWidths, ebx: g.ext8Ebx }),
    leaf(0x8000_000a, { eax: 1, ebx: 0x8000, edx: g.svmEdx }),
    // Cache inclusive (bit 1) and WBINVD not shared (bit 0); complex indexing (bit 2) is not reported.
    ...[0, 1, 2, 3].map((index) => leaf(0x8000_001d, { edx: 0x3 }, index)),
    leaf(0x8000_001f, {
      eax: g.sevEax,
      ebx: processor.cBit | (processor.reducedPhysBits << 6) | (processor.vmpls << 12),
      ecx: processor.maxAsid,
      edx: processor.minSevAsid,
    }),
    leaf(0x8000_0021, { eax: g.ext21[0], ecx: g.ext21[1] }),
    ...(g.perfmon === undefined ? [] : [leaf(0x8000_0022, { eax: g.perfmon })]),
  ];
}

const built = new Map<ProcessorProfile, ReadonlyMap<string, HostLeaf>>();

const key = (fn: number, index: number): string => `${fn}.${index}`;

/** What the processor returns; zeros where the table has nothing. */
export function hostCpuid(processor: ProcessorProfile, fn: number, index = 0): HostLeaf {
  let table = built.get(processor);
  if (!table) {
    table = new Map(build(processor).map((l) => [key(l.function, l.index ?? 0), l]));
    built.set(processor, table);
  }
  return table.get(key(fn, isIndexedFunction(fn) ? index : 0)) ?? leaf(fn, {}, index);
}

/** The whole table of a generation, in ascending order; for views. */
export function hostCpuidTable(name: ProcessorName): readonly HostLeaf[] {
  return build(PROCESSOR_PROFILES[name]);
}
