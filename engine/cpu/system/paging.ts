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
  noExecute: 1n << 63n,
} as const;
const ERROR = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;

interface Step {
  readonly address: number;
  readonly entry: bigint;
}

/** Levels from the root down: shift of the index, and whether an entry may map a page itself. */
interface Level {
  readonly shift: bigint;
  readonly bits: bigint;
  readonly large: boolean;
}
const LONG: readonly Level[] = [
  { shift: 39n, bits: 9n, large: false },
  { shift: 30n, bits: 9n, large: true },
  { shift: 21n, bits: 9n, large: true },
  { shift: 12n, bits: 9n, large: false },
];
const PAE: readonly Level[] = [{ shift: 30n, bits: 2n, large: false }, ...LONG.slice(2)];
const LEGACY: readonly Level[] = [
  { shift: 22n, bits: 10n, large: true },
  { shift: 12n, bits: 10n, large: false },
];

function levelsOf(state: SystemState): readonly Level[] {
  if (isLongMode(state)) return LONG;
  return has(state.cr4, CR4.PAE) ? PAE : LEGACY;
}

function fault(state: SystemState, request: WalkRequest, reason: number): never {
  // The fetch bit is reported only where something makes fetches special.
  const tellsFetch = has(state.efer, EFER.NXE) || has(state.cr4, CR4.SMEP);
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

/** May this privilege write pages with these rights? */
function mayWrite(state: SystemState, { user }: WalkRequest, rights: Rights): boolean {
  return rights.write || (!user && !has(state.cr0, CR0.WP));
}

function permitted(state: SystemState, request: WalkRequest, rights: Rights): boolean {
  const { access, user, alignmentCheck } = request;
  if (user && !rights.user) return false;
  if (access === 'write' && !mayWrite(state, request, rights)) return false;
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
  const levels = levelsOf(state);
  const bytes = levels === LEGACY ? 4 : 8;
  const pageMask = levels === LEGACY ? 0xffff_f000n : ((1n << BigInt(physicalBits)) - 1n) & ~0xfffn;
  const rootMask = levels === PAE ? 0xffff_ffe0n : levels === LEGACY ? 0xffff_f000n : pageMask;
  let table = state.cr3 & rootMask;
  let rights: Rights = { write: true, user: true, noExecute: false };
  const steps: Step[] = [];
  for (const [depth, level] of levels.entries()) {
    const index = (linear >> level.shift) & ((1n << level.bits) - 1n);
    const address = Number(table + index * BigInt(bytes));
    const entry = memory.read(address, bytes);
    if ((entry & ENTRY.present) === 0n) fault(state, request, 0);
    const isPointerTable = levels === PAE && depth === 0;
    const noExecute = bytes === 8 && (entry & ENTRY.noExecute) !== 0n;
    if (hasReservedBits(state, entry, level, bytes, physicalBits, noExecute))
      fault(state, request, ERROR.present | ERROR.reserved);
    // Entries of the PAE pointer table have no rights and no accessed bit.
    if (!isPointerTable) {
      steps.push({ address, entry });
      rights = {
        write: rights.write && (entry & ENTRY.write) !== 0n,
        user: rights.user && (entry & ENTRY.user) !== 0n,
        noExecute: rights.noExecute || noExecute,
      };
    }
    const mapsPage = level.shift === 12n || (level.large && isLarge(state, entry, bytes));
    table = entry & pageMask;
    if (!mapsPage) continue;
    if (!permitted(state, request, rights)) fault(state, request, ERROR.present);
    const dirty = markUsed(memory, steps, bytes, access === 'write');
    const offsetMask = (1n << level.shift) - 1n;
    // PSE puts address bits 39:32 into bits 20:13 of a 4-MiB entry.
    const high = bytes === 4 && level.shift === 22n ? ((entry >> 13n) & 0xffn) << 32n : 0n;
    const page = (table & ~offsetMask) | (linear & offsetMask & ~0xfffn) | high;
    return { address: Number(page), writable: dirty && mayWrite(state, request, rights) };
  }
  throw new Error('page table without a last level');
}

function isLarge(state: SystemState, entry: bigint, bytes: number): boolean {
  return (entry & ENTRY.large) !== 0n && (bytes === 8 || has(state.cr4, CR4.PSE));
}

function hasReservedBits(
  state: SystemState,
  entry: bigint,
  level: Level,
  bytes: number,
  physicalBits: number,
  noExecute: boolean,
): boolean {
  if (bytes === 4) return false;
  if (noExecute && !has(state.efer, EFER.NXE)) return true;
  if (((entry >> BigInt(physicalBits)) & ((1n << BigInt(52 - physicalBits)) - 1n)) !== 0n) return true;
  if ((entry & ENTRY.large) === 0n || level.shift === 12n) return false;
  // A large page's address is aligned; bit 12 is PAT.
  return !level.large || (entry & ((1n << level.shift) - 1n)) >> 13n !== 0n;
}

/** Sets A in every entry used and D in the last one on a write; true if the page is dirty now. */
function markUsed(memory: PageTableMemory, steps: readonly Step[], bytes: 4 | 8, write: boolean): boolean {
  for (const [n, { address, entry }] of steps.entries()) {
    const last = n === steps.length - 1;
    const wanted = ENTRY.accessed | (last && write ? ENTRY.dirty : 0n);
    if ((entry & wanted) !== wanted) memory.write(address, bytes, entry | wanted);
  }
  const final = steps[steps.length - 1];
  return write || (final !== undefined && (final.entry & ENTRY.dirty) !== 0n);
}
