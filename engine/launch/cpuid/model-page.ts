import { type CpuidEntry, encodeCpuidPage } from '../../asp/cpuid-table.js';
import { type CpuGeneration, type CpuModel, cpuModel } from '../../spec/cpu-models.js';
import { hostCpuid } from '../../spec/host-cpuid.js';
import type { ProcessorProfile } from '../../spec/versions.js';
import { featureWords } from './model-words.js';

/** Bits that QEMU takes out for SNP guests. QEMU target/i386/sev.c `sev_snp_mask_cpuid_features`. */
const SNP_REMOVED = {
  /** TSC_DEADLINE. */
  leaf1Ecx: 1 << 24,
  /** TSC_ADJUST. */
  leaf7Ebx: 1 << 1,
  /** SPEC_CTRL, STIBP, FLUSH_L1D, ARCH_CAPABILITIES, CORE_CAPABILITY, SSBD. */
  leaf7Edx: 0xfc00_0000,
  /** VIRT_SSBD. */
  ext8Ebx: 1 << 25,
} as const;

const VENDOR = { ebx: 0x6874_7541, ecx: 0x444d_4163, edx: 0x6974_6e65 };
/** Legacy area and header of XSAVE: what firmware expects with XCR0_IN = 1. */
const XSAVE_BASE = 0x240;

/**
 * The CPUID page that QEMU gives the firmware: the leaves of vCPU 0, without the features that the host lacks and
 * without those that SNP does not allow. QEMU target/i386/sev.c `sev_snp_cpuid_info_fill`, target/i386/kvm/kvm.c
 * `kvm_x86_build_cpuid`. Cache and topology leaves are a plausible choice; firmware does not check them.
 */
export function modelCpuidEntries(model: CpuModel, processor: ProcessorProfile, vcpus: number): readonly CpuidEntry[] {
  const w = featureWords(model);
  const host = (fn: number, index = 0) => hostCpuid(processor, fn, index);
  const entries: CpuidEntry[] = [];
  const add = (
    eaxIn: number,
    values: { eax?: number; ebx?: number; ecx?: number; edx?: number },
    inputs: { ecxIn?: number; xcr0In?: bigint } = {},
  ): void => {
    const u = (n = 0): number => n >>> 0;
    const { eax, ebx, ecx, edx } = values;
    const entry = { eax: u(eax), ebx: u(ebx), ecx: u(ecx), edx: u(edx) };
    // KVM answers a missing leaf with zeros, so QEMU leaves such entries out.
    if (entry.eax === 0 && entry.ebx === 0 && entry.ecx === 0 && entry.edx === 0) return;
    entries.push({ eaxIn, ecxIn: inputs.ecxIn ?? 0, xcr0In: inputs.xcr0In ?? 0n, xssIn: 0n, ...entry });
  };

  const threads = Math.min(vcpus, 255);
  const packageBits = bitsFor(vcpus);
  const leaf1Ecx = (w.leaf1Ecx | HYPERVISOR | X2APIC) & host(1).ecx & ~SNP_REMOVED.leaf1Ecx;
  const leaf7Ebx = w.leaf7Ebx & host(7).ebx & ~SNP_REMOVED.leaf7Ebx;
  const leaf7Ecx = w.leaf7Ecx & host(7).ecx;
  const leaf7Sub1Eax = w.leaf7Sub1Eax & host(7, 1).eax;

  add(0x0, { eax: 0xd, ...VENDOR });
  add(0x1, {
    eax: model.signature,
    ebx: (8 << 8) | (vcpus > 1 ? threads << 16 : 0),
    ecx: leaf1Ecx,
    edx: (w.leaf1Edx | (vcpus > 1 ? HTT : 0)) & host(1).edx,
  });
  add(0x5, { ecx: 0x3 & host(5).ecx });
  add(0x6, { eax: 0x4 & host(6).eax });
  add(0x7, {
    eax: leaf7Sub1Eax === 0 ? 0 : 1,
    ebx: leaf7Ebx,
    ecx: leaf7Ecx,
    edx: w.leaf7Edx & host(7).edx & ~SNP_REMOVED.leaf7Edx,
  });
  add(0x7, { eax: leaf7Sub1Eax }, { ecxIn: 1 });
  add(0xb, { ebx: 1, ecx: 0x100 });
  add(0xb, { eax: packageBits, ebx: vcpus, ecx: 0x201 }, { ecxIn: 1 });

  const components = xsaveComponents(leaf1Ecx, leaf7Ebx, leaf7Ecx).filter(([, size]) => size > 0);
  const xcr0 = components.reduce((mask, [index]) => mask | (1 << index), 0x3);
  const size = components.reduce((most, [, length, offset]) => Math.max(most, length + offset), XSAVE_BASE);
  add(0xd, { eax: xcr0, ebx: XSAVE_BASE, ecx: size }, { xcr0In: 1n });
  add(0xd, { eax: w.xsaveEax & host(0xd, 1).eax, ebx: XSAVE_BASE }, { ecxIn: 1, xcr0In: 1n });
  for (const [ecxIn, eax, ebx, ecx] of components) add(0xd, { eax, ebx, ecx }, { ecxIn });

  add(0x4000_0000, { eax: 0x4000_0001, ebx: 0x4b4d_564b, ecx: 0x564b_4d56, edx: 0x4d });
  add(0x4000_0001, { eax: KVM_FEATURES });

  add(0x8000_0000, { eax: Math.max(w.xlevel, 0x8000_001f), ...VENDOR });
  add(0x8000_0001, {
    eax: model.signature,
    ecx: w.ext1Ecx & host(0x8000_0001).ecx,
    edx: w.ext1Edx & host(0x8000_0001).edx,
  });
  brandLeaves(w.brand).forEach((leaf, i) => {
    add(0x8000_0002 + i, leaf);
  });
  add(0x8000_0005, { eax: 0x01ff_01ff, ebx: 0x01ff_01ff, ecx: 0x2008_0140, edx: 0x2008_0140 });
  add(0x8000_0006, { ebx: 0x4200_4200, ecx: (w.l2Kilobytes << 16) | 0x6140, edx: 0x0100_9140 });
  add(0x8000_0008, {
    eax: 0x3028,
    ebx: w.ext8Ebx & host(0x8000_0008).ebx & ~SNP_REMOVED.ext8Ebx,
    ecx: vcpus > 1 ? (packageBits << 12) | (threads - 1) : 0,
  });
  add(0x8000_000a, { eax: 1, ebx: 0x10, edx: w.svmEdx & host(0x8000_000a).edx });
  add(0x8000_001d, { eax: 0x121, ebx: 0x01c0_003f, ecx: 0x3f, edx: 0x1 });
  add(0x8000_001d, { eax: 0x122, ebx: 0x01c0_003f, ecx: 0x3f, edx: 0x1 }, { ecxIn: 1 });
  add(0x8000_001d, { eax: 0x143, ebx: 0x01c0_003f, ecx: w.l2Kilobytes * 2 - 1 }, { ecxIn: 2 });
  const l3Edx = 0x2 | (w.l3ComplexIndexing ? 0x4 : 0);
  const sharing = (threads - 1) << 14;
  add(0x8000_001d, { eax: 0x163 | sharing, ebx: 0x03c0_003f, ecx: 0x7fff, edx: l3Edx }, { ecxIn: 3 });
  // SEV, SEV-ES, SEV-SNP.
  add(0x8000_001f, { eax: 0x1a, ebx: processor.cBit | (processor.reducedPhysBits << 6) });
  add(0x8000_0021, { eax: w.ext21Eax & host(0x8000_0021).eax });
  return entries;

  /** Index, size, offset and flags of the components above x87 and SSE: AVX, AVX-512, PKRU. */
  function xsaveComponents(ecx1: number, ebx7: number, ecx7: number): (readonly [number, number, number, number])[] {
    const indices = [
      ...(ecx1 & (1 << 28) ? [2] : []),
      ...(ebx7 & (1 << 16) ? [5, 6, 7] : []),
      ...(ecx7 & (1 << 3) ? [9] : []),
    ];
    return indices.map((index) => {
      const { eax, ebx, ecx } = host(0xd, index);
      return [index, eax, ebx, ecx] as const;
    });
  }
}

const HYPERVISOR = 1 << 31;
const X2APIC = 1 << 21;
const HTT = 1 << 28;
/** Clock sources, steal time, PV EOI, PV unhalt, TLB flush, async page fault and PV send IPI. */
const KVM_FEATURES = 0x0100_7efb;

const bitsFor = (count: number): number => (count <= 1 ? 0 : 32 - Math.clz32(count - 1));

function brandLeaves(brand: string): { eax: number; ebx: number; ecx: number; edx: number }[] {
  const word = (at: number): number =>
    [3, 2, 1, 0].reduce((value, i) => (value << 8) | (at + i < brand.length ? brand.charCodeAt(at + i) : 0), 0) >>> 0;
  return [0, 16, 32].map((at) => ({ eax: word(at), ebx: word(at + 4), ecx: word(at + 8), edx: word(at + 12) }));
}

const pages = new Map<string, Uint8Array>();

/** The page for `vm.cpu`; the same object for the same machine. An unknown model gives an empty table. */
export function modelCpuidPage(name: string, processor: ProcessorProfile, vcpus: number): Uint8Array {
  const key = `${name} ${processor.name} ${vcpus}`;
  let page = pages.get(key);
  if (!page) {
    const model = cpuModel(name);
    page = encodeCpuidPage(model ? modelCpuidEntries(model, processor, vcpus) : []);
    if (pages.size >= 256) pages.clear();
    pages.set(key, page);
  }
  return page;
}

const ORDER: readonly CpuGeneration[] = ['naples', 'rome', 'milan', 'genoa', 'turin'];

/** Whether the model has features that the processor lacks, by generation. */
export function isNewerThan(model: CpuModel, processor: ProcessorProfile): boolean {
  return ORDER.indexOf(model.generation) > ORDER.indexOf(processor.name);
}
