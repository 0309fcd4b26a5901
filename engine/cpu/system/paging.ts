import { exception, VECTOR } from '../exception.js';
import { CR0, CR4, EFER, has, isLongMode, type SystemState } from './system-state.js';

/** The guest's page tables: APM volume 2, chapter 5. */

/** Page tables lie in guest-physical memory; an entry's address may carry the C-bit. */
export interface PageTableMemory {
  read(address: number, bytes: 4 | 8): bigint;
  write(address: number, bytes: 4 | 8, value: bigint): void;
}

export interface WalkRequest {
  readonly linear: bigint;
  readonly access: 'read' | 'write' | 'execute';
  /** The access counts as one of CPL 3. */
  readonly user: boolean;
  /** RFLAGS.AC, which lets a supervisor touch user pages under SMAP. */
  readonly alignmentCheck: boolean;
}

export interface WalkResult {
  /** Guest-physical address of the 4-KiB page, with the C-bit if the entry has it. */
  readonly address: number;
  /** Writes of this privilege need not be walked again: permitted, and the page is dirty. */
  readonly writable: boolean;
}

const ENTRY = {
  present: 1n,
  write: 2n,
  user: 4n,
  accessed: 0x20n,
  dirty: 0x40n,
  large: 0x80n,
  global: 0x100n,
  noExecute: 1n << 63n,
} as const;
const ERROR = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;

interface Step {
  readonly address: number;
  readonly entry: bigint;
}

/** A level from the root down, with the masks for its entries: a walk is too short to make them. */
interface Level {
  /** Weight of the index in the number of the linear page, and count of entries. */
  readonly weight: number;
  readonly entries: number;
  /** Whether an entry may map a page itself; at the last level all do. */
  readonly large: boolean;
  readonly last: boolean;
  /** Offset in what an entry maps. */
  readonly offsetMask: bigint;
  /** Bits that must be zero in an entry that leads to a table or a small page, and in that of a large page. */
  readonly reserved: bigint;
  readonly reservedLarge: bigint;
}

/** One of the three formats of page tables, for a processor with this many physical address bits. */
interface Format {
  readonly levels: readonly Level[];
  readonly isPae: boolean;
  readonly entryBytes: 4 | 8;
  /** The address in an entry. */
  readonly addressMask: bigint;
  /** The address in CR3. */
  readonly rootMask: bigint;
}

/** Bits `from` to `to`, both included. */
const bits = (from: bigint, to: bigint): bigint => ((1n << (to + 1n)) - 1n) & ~((1n << from) - 1n);

/** Reserved bits: APM volume 2, 5.2 and 5.3; Linux arch/x86/kvm/mmu/mmu.c __reset_rsvds_bits_mask(). */
function levelOf(shift: bigint, indexBits: number, large: boolean, reserved: bigint, reservedLarge: bigint): Level {
  const weight = 2 ** (Number(shift) - 12);
  const offsetMask = (1n << shift) - 1n;
  return { weight, entries: 2 ** indexBits, large, last: shift === 12n, offsetMask, reserved, reservedLarge };
}

const LEGACY: Format = {
  levels: [levelOf(22n, 10, true, 0n, 1n << 21n), levelOf(12n, 10, false, 0n, 0n)],
  isPae: false,
  entryBytes: 4,
  addressMask: 0xffff_f000n,
  rootMask: 0xffff_f000n,
};

const POINTER_TABLE_RESERVED = bits(1n, 2n) | bits(5n, 8n) | ENTRY.noExecute;

/** `physicalBits`: address bits beyond are reserved. */
function wideFormat(isLong: boolean, physicalBits: number): Format {
  const width = BigInt(physicalBits);
  const addressMask = bits(12n, width - 1n);
  // Software may use bits 62:52 in long mode only.
  const reserved = isLong ? bits(width, 51n) : bits(width, 51n) | bits(52n, 62n);
  // A large page's address is aligned; bit 12 is PAT.
  const large = (shift: bigint): Level => levelOf(shift, 9, true, reserved, reserved | bits(13n, shift - 1n));
  const lower = [large(21n), levelOf(12n, 9, false, reserved, reserved)];
  const root = levelOf(39n, 9, false, reserved | ENTRY.large | ENTRY.global, 0n);
  const pointers = levelOf(30n, 2, false, reserved | POINTER_TABLE_RESERVED, 0n);
  const levels = isLong ? [root, large(30n), ...lower] : [pointers, ...lower];
  return { levels, isPae: !isLong, entryBytes: 8, addressMask, rootMask: isLong ? addressMask : 0xffff_ffe0n };
}

const known = { long: new Map<number, Format>(), pae: new Map<number, Format>() };

function formatOf(state: SystemState, physicalBits: number): Format {
  const isLong = isLongMode(state);
  if (!isLong && !has(state.cr4, CR4.PAE)) return LEGACY;
  const formats = isLong ? known.long : known.pae;
  const format = formats.get(physicalBits) ?? wideFormat(isLong, physicalBits);
  formats.set(physicalBits, format);
  return format;
}

function fault(state: SystemState, request: WalkRequest, reason: number): never {
  // The fetch bit is reported only where something makes fetches special.
  const hasNoExecute = has(state.efer, EFER.NXE) && has(state.cr4, CR4.PAE);
  const tellsFetch = hasNoExecute || has(state.cr4, CR4.SMEP);
  const errorCode =
    reason |
    (request.access === 'write' ? ERROR.write : 0) |
    (request.user ? ERROR.user : 0) |
    (request.access === 'execute' && tellsFetch ? ERROR.fetch : 0);
  throw exception(VECTOR.PF, { errorCode, address: request.linear });
}

/** Do the upper bits repeat bit 47? Others are outside of what four levels of page tables translate. */
export const isCanonical = (linear: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, linear)) === linear;

interface Rights {
  readonly write: boolean;
  readonly user: boolean;
  readonly noExecute: boolean;
}

function permitted(state: SystemState, request: WalkRequest, access: WalkRequest['access'], rights: Rights): boolean {
  const { user, alignmentCheck } = request;
  if (user && !rights.user) return false;
  if (access === 'write' && !rights.write && (user || has(state.cr0, CR0.WP))) return false;
  if (access === 'execute') {
    if (rights.noExecute) return false;
    return user || !rights.user || !has(state.cr4, CR4.SMEP);
  }
  return user || !rights.user || alignmentCheck || !has(state.cr4, CR4.SMAP);
}

/** Translates, checks and sets the accessed and dirty bits. `physicalBits` counts the C-bit's position in. */
export function walk(
  state: SystemState,
  memory: PageTableMemory,
  request: WalkRequest,
  physicalBits: number,
): WalkResult {
  const { linear, access } = request;
  if (!has(state.cr0, CR0.PG)) return { address: Number(linear & 0xffff_f000n), writable: true };
  if (!isCanonical(linear)) throw exception(VECTOR.GP, { errorCode: 0 });
  const format = formatOf(state, physicalBits);
  const { levels, entryBytes, isPae } = format;
  const page = Number(linear >> 12n);
  let table = Number(state.cr3 & format.rootMask);
  let rights: Rights = { write: true, user: true, noExecute: false };
  const steps: Step[] = [];
  for (const level of levels) {
    const index = Math.floor(page / level.weight) % level.entries;
    const address = table + index * entryBytes;
    const entry = memory.read(address, entryBytes);
    if ((entry & ENTRY.present) === 0n) fault(state, request, 0);
    const large = level.large && isLarge(state, entry, entryBytes);
    if (hasReservedBits(state, entry, level, large)) fault(state, request, ERROR.present | ERROR.reserved);
    // Entries of the PAE pointer table have no rights and no accessed bit.
    if (!isPae || level !== levels[0]) {
      steps.push({ address, entry });
      rights = {
        write: rights.write && (entry & ENTRY.write) !== 0n,
        user: rights.user && (entry & ENTRY.user) !== 0n,
        noExecute: rights.noExecute || (entry & ENTRY.noExecute) !== 0n,
      };
    }
    const base = entry & format.addressMask;
    table = Number(base);
    if (!large && !level.last) continue;
    if (!permitted(state, request, access, rights)) fault(state, request, ERROR.present);
    const dirty = markUsed(memory, steps, entryBytes, access === 'write');
    const writable = dirty && permitted(state, request, 'write', rights);
    if (level.last) return { address: table, writable };
    const { offsetMask } = level;
    // PSE puts address bits 39:32 into bits 20:13 of a 4-MiB entry.
    const high = entryBytes === 4 ? ((entry >> 13n) & 0xffn) << 32n : 0n;
    return { address: Number((base & ~offsetMask) | (linear & offsetMask & ~0xfffn) | high), writable };
  }
  throw new Error('page table without a last level');
}

function isLarge(state: SystemState, entry: bigint, bytes: number): boolean {
  return (entry & ENTRY.large) !== 0n && (bytes === 8 || has(state.cr4, CR4.PSE));
}

function hasReservedBits(state: SystemState, entry: bigint, level: Level, large: boolean): boolean {
  if ((entry & (large ? level.reservedLarge : level.reserved)) !== 0n) return true;
  return (entry & ENTRY.noExecute) !== 0n && !has(state.efer, EFER.NXE);
}

const ACCESSED_DIRTY = ENTRY.accessed | ENTRY.dirty;

/** Sets A in every entry used and D in the last one on a write; true if the page is dirty now. */
function markUsed(memory: PageTableMemory, steps: readonly Step[], bytes: 4 | 8, write: boolean): boolean {
  const final = steps[steps.length - 1];
  for (const step of steps) {
    const { address, entry } = step;
    const wanted = write && step === final ? ACCESSED_DIRTY : ENTRY.accessed;
    if ((entry & wanted) !== wanted) memory.write(address, bytes, entry | wanted);
  }
  return write || (final !== undefined && (final.entry & ENTRY.dirty) !== 0n);
}
