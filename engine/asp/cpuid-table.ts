import { PAGE_SIZE } from '../address.js';
import { view } from '../bytes.js';

/** The CPUID page of an SNP guest. Linux arch/x86/include/asm/sev.h `struct snp_cpuid_table`. */
export const CPUID_MAX_COUNT = 64;
export const CPUID_HEADER_SIZE = 16;
export const CPUID_ENTRY_SIZE = 48;

/** Offsets in one entry. */
export const CPUID_ENTRY = {
  eaxIn: 0x00,
  ecxIn: 0x04,
  xcr0In: 0x08,
  xssIn: 0x10,
  eax: 0x18,
  ebx: 0x1c,
  ecx: 0x20,
  edx: 0x24,
  reserved: 0x28,
} as const;

export const CPUID_REGISTERS = ['eax', 'ebx', 'ecx', 'edx'] as const;
export type CpuidRegister = (typeof CPUID_REGISTERS)[number];

export interface CpuidEntry {
  readonly eaxIn: number;
  readonly ecxIn: number;
  readonly xcr0In: bigint;
  readonly xssIn: bigint;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** The count as it stands in the page; may exceed what the page holds. */
export function cpuidCount(page: Uint8Array): number {
  return view(page).getUint32(0, true);
}

/** Offset of entry `index` in the page. */
export function cpuidEntryOffset(index: number): number {
  return CPUID_HEADER_SIZE + index * CPUID_ENTRY_SIZE;
}

/** The entries, at most 64. */
export function decodeCpuidPage(page: Uint8Array): CpuidEntry[] {
  const v = view(page);
  const entries: CpuidEntry[] = [];
  for (let i = 0; i < Math.min(cpuidCount(page), CPUID_MAX_COUNT); i++) {
    const at = cpuidEntryOffset(i);
    entries.push({
      eaxIn: v.getUint32(at + CPUID_ENTRY.eaxIn, true),
      ecxIn: v.getUint32(at + CPUID_ENTRY.ecxIn, true),
      xcr0In: v.getBigUint64(at + CPUID_ENTRY.xcr0In, true),
      xssIn: v.getBigUint64(at + CPUID_ENTRY.xssIn, true),
      eax: v.getUint32(at + CPUID_ENTRY.eax, true),
      ebx: v.getUint32(at + CPUID_ENTRY.ebx, true),
      ecx: v.getUint32(at + CPUID_ENTRY.ecx, true),
      edx: v.getUint32(at + CPUID_ENTRY.edx, true),
    });
  }
  return entries;
}

/** A page with these entries. Throws when there are more than 64: the caller's bug. */
export function encodeCpuidPage(entries: readonly CpuidEntry[]): Uint8Array {
  if (entries.length > CPUID_MAX_COUNT) throw new RangeError(`a CPUID page holds ${CPUID_MAX_COUNT} entries`);
  const page = new Uint8Array(PAGE_SIZE);
  const v = view(page);
  v.setUint32(0, entries.length, true);
  entries.forEach((entry, i) => {
    const at = cpuidEntryOffset(i);
    v.setUint32(at + CPUID_ENTRY.eaxIn, entry.eaxIn, true);
    v.setUint32(at + CPUID_ENTRY.ecxIn, entry.ecxIn, true);
    v.setBigUint64(at + CPUID_ENTRY.xcr0In, entry.xcr0In, true);
    v.setBigUint64(at + CPUID_ENTRY.xssIn, entry.xssIn, true);
    for (const register of CPUID_REGISTERS) v.setUint32(at + CPUID_ENTRY[register], entry[register], true);
  });
  return page;
}
