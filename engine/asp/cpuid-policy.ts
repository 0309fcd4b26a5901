import { hex } from '../address.js';
import { copyBytes, view } from '../bytes.js';
import { hostCpuid, isIndexedFunction } from '../spec/host-cpuid.js';
import type { ProcessorProfile } from '../spec/versions.js';
import {
  CPUID_ENTRY,
  CPUID_MAX_COUNT,
  CPUID_REGISTERS,
  type CpuidEntry,
  type CpuidRegister,
  cpuidCount,
  cpuidEntryOffset,
  decodeCpuidPage,
} from './cpuid-table.js';

/**
 * What SNP firmware lets a guest's CPUID page say ("CPUID Policy Enforcement" of AMD's Processor Programming
 * References, for example pub. 55898 section 2.1.5.3). Which function has which rule is this emulator's choice;
 * AMD's own table is not public.
 */
type Mode =
  /** Not checked. */
  | 'any'
  /** The guest may lack bits that the host has, not add any. */
  | 'bitmask'
  /** The guest's value is at most the host's. */
  | 'max'
  /** Equal to the host, or zero together with the whole entry. */
  | 'strict'
  /** Each byte is at most the host's: the address widths. */
  | 'widths'
  /** The C-bit position in bits 5:0. */
  | 'c-bit'
  /** Size of the XSAVE area for XCR0_IN, standard or compacted format. */
  | 'xsave-size'
  | 'xsave-compacted';

type Modes = readonly [eax: Mode, ebx: Mode, ecx: Mode, edx: Mode];

const ANY: Modes = ['any', 'any', 'any', 'any'];
const STRICT: Modes = ['strict', 'strict', 'strict', 'strict'];
const BITMASK: Modes = ['bitmask', 'bitmask', 'bitmask', 'bitmask'];

const RULES: ReadonlyMap<number, Modes> = new Map([
  [0x0, ['max', 'any', 'any', 'any']],
  [0x1, ['any', 'any', 'bitmask', 'bitmask']],
  [0x4, ANY],
  [0x5, ['any', 'any', 'bitmask', 'any']],
  [0x6, BITMASK],
  [0xb, ANY],
  [0x8000_0000, ['max', 'any', 'any', 'any']],
  [0x8000_0001, ['any', 'any', 'bitmask', 'bitmask']],
  [0x8000_0002, ANY],
  [0x8000_0003, ANY],
  [0x8000_0004, ANY],
  [0x8000_0005, ANY],
  [0x8000_0006, ANY],
  [0x8000_0007, BITMASK],
  [0x8000_0008, ['widths', 'bitmask', 'any', 'any']],
  [0x8000_000a, ['max', 'max', 'bitmask', 'bitmask']],
  [0x8000_0019, ANY],
  [0x8000_001a, ANY],
  [0x8000_001d, ['any', 'any', 'any', 'bitmask']],
  [0x8000_001e, ANY],
  [0x8000_001f, ['bitmask', 'c-bit', 'any', 'any']],
  [0x8000_0021, ['bitmask', 'any', 'bitmask', 'bitmask']],
  [0x8000_0022, ['bitmask', 'any', 'any', 'any']],
  [0x8000_0026, ANY],
]);

/** Undefined: the function is not in the table. */
function modesOf(fn: number, index: number): Modes | undefined {
  if (fn === 0x7) return index === 0 ? ['max', 'bitmask', 'bitmask', 'bitmask'] : BITMASK;
  if (fn === 0xd) {
    if (index === 0) return ['bitmask', 'xsave-size', 'max', 'bitmask'];
    return index === 1 ? ['bitmask', 'xsave-compacted', 'bitmask', 'bitmask'] : STRICT;
  }
  return RULES.get(fn);
}

/** One register that the firmware would not accept. */
export interface CpuidMismatch {
  /** Number of the entry in the page. */
  readonly entry: number;
  readonly function: number;
  readonly index: number;
  readonly register: CpuidRegister;
  readonly provided: number;
  /** What the firmware writes in its place. */
  readonly expected: number;
  /** Why, in words. */
  readonly rule: string;
}

export type CpuidPageProblem =
  | { readonly kind: 'count'; readonly count: number }
  | { readonly kind: 'reserved'; readonly offset: number }
  | { readonly kind: 'duplicate'; readonly entry: number; readonly function: number; readonly index: number };

export interface CpuidCheck {
  /** The page with every mismatch replaced; equal to the input if there is none. */
  readonly corrected: Uint8Array;
  readonly mismatches: readonly CpuidMismatch[];
  /** The page is malformed; then nothing was compared. */
  readonly problem?: CpuidPageProblem;
}

const inCheckedRange = (fn: number): boolean => fn <= 0xffff || (fn >= 0x8000_0000 && fn <= 0x8000_ffff);

/** Standard format: the end of the last component. Compacted: the sum of all. Legacy area and header are 0x240. */
function xsaveSize(processor: ProcessorProfile, components: bigint, compacted: boolean): number {
  let size = 0x240;
  for (let i = 2; i < 63; i++) {
    if (((components >> BigInt(i)) & 1n) === 0n) continue;
    const host = hostCpuid(processor, 0xd, i);
    size = compacted ? size + host.eax : Math.max(size, host.eax + host.ebx);
  }
  return size;
}

function expectedValue(
  mode: Mode,
  processor: ProcessorProfile,
  entry: CpuidEntry,
  register: CpuidRegister,
): { value: number; rule: string } {
  const provided = entry[register];
  const host = hostCpuid(processor, entry.eaxIn, entry.ecxIn)[register];
  switch (mode) {
    case 'any':
      return { value: provided, rule: 'not checked' };
    case 'bitmask': {
      const added = (provided & ~host) >>> 0;
      return { value: (provided & host) >>> 0, rule: `the processor does not have bits ${hex(added)}` };
    }
    case 'max':
      return { value: Math.min(provided, host), rule: `at most ${hex(host)}` };
    case 'strict': {
      const absent = entry.eax === 0 && entry.ebx === 0 && entry.ecx === 0 && entry.edx === 0;
      return { value: absent ? provided : host, rule: 'must equal the value of the processor' };
    }
    case 'widths': {
      const width = (shift: number): number => Math.min((provided >>> shift) & 0xff, (host >>> shift) & 0xff) << shift;
      // Bits above 15 (guest physical address size and reserved) are taken as given.
      return { value: ((provided & 0xffff_0000) | width(8) | width(0)) >>> 0, rule: 'address widths of the processor' };
    }
    case 'c-bit':
      return { value: ((provided & ~0x3f) | (host & 0x3f)) >>> 0, rule: `the C-bit is bit ${host & 0x3f}` };
    case 'xsave-size':
      return {
        value: xsaveSize(processor, entry.xcr0In, false),
        rule: `size of the XSAVE area for XCR0_IN ${hex(entry.xcr0In)}`,
      };
    case 'xsave-compacted':
      return {
        value: xsaveSize(processor, entry.xcr0In | entry.xssIn, true),
        rule: `size of the compacted XSAVE area for XCR0_IN ${hex(entry.xcr0In)}, XSS_IN ${hex(entry.xssIn)}`,
      };
  }
}

function checkEntry(entry: CpuidEntry, position: number, processor: ProcessorProfile): CpuidMismatch[] {
  if (!inCheckedRange(entry.eaxIn)) return [];
  const modes = modesOf(entry.eaxIn, entry.ecxIn);
  const found: CpuidMismatch[] = [];
  CPUID_REGISTERS.forEach((register, i) => {
    const provided = entry[register];
    const mode = modes?.[i];
    const { value: expected, rule } = mode
      ? expectedValue(mode, processor, entry, register)
      : { value: 0, rule: 'the function is not in the table of the firmware, so it must be zero' };
    if (expected === provided) return;
    const index = isIndexedFunction(entry.eaxIn) ? entry.ecxIn : 0;
    found.push({ entry: position, function: entry.eaxIn, index, register, provided, expected, rule });
  });
  return found;
}

function pageProblem(page: Uint8Array, entries: readonly CpuidEntry[]): CpuidPageProblem | undefined {
  const count = cpuidCount(page);
  if (count > CPUID_MAX_COUNT) return { kind: 'count', count };
  for (let i = 4; i < 16; i++) if (page[i] !== 0) return { kind: 'reserved', offset: i };
  const seen = new Set<string>();
  for (const [position, entry] of entries.entries()) {
    const at = cpuidEntryOffset(position) + CPUID_ENTRY.reserved;
    for (let i = at; i < at + 8; i++) if (page[i] !== 0) return { kind: 'reserved', offset: i };
    const index = isIndexedFunction(entry.eaxIn) ? entry.ecxIn : 0;
    const key = `${entry.eaxIn}.${index}.${entry.xcr0In}.${entry.xssIn}`;
    if (seen.has(key)) return { kind: 'duplicate', entry: position, function: entry.eaxIn, index };
    seen.add(key);
  }
  return undefined;
}

/** Checks a CPUID page of 4096 bytes as SNP_LAUNCH_UPDATE does. */
export function checkCpuidPage(page: Uint8Array, processor: ProcessorProfile): CpuidCheck {
  const corrected = copyBytes(page);
  const entries = decodeCpuidPage(page);
  const problem = pageProblem(page, entries);
  if (problem) return { corrected, mismatches: [], problem };
  const mismatches = entries.flatMap((entry, position) => checkEntry(entry, position, processor));
  const v = view(corrected);
  for (const { entry, register, expected } of mismatches) {
    v.setUint32(cpuidEntryOffset(entry) + CPUID_ENTRY[register], expected, true);
  }
  return { corrected, mismatches };
}
