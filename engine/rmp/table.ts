import { gpa, PAGE_SIZE, PAGES_PER_2M, type Pfn, pfn, type Spa, spa } from '../address.js';
import { decodeEntry, encodeEntry, HYPERVISOR_ENTRY, type RmpEntry } from './entry.js';

/**
 * The reverse map table: 16 bytes for each 4 KiB page of system memory, kept in 8 KiB chunks of one 2 MiB
 * region each; a chunk that was never written is all zero, that is, hypervisor-owned.
 */
export interface Rmp {
  /** First byte of the table and last byte (RMP_BASE and RMP_END); the first 16 KiB are bookkeeping. */
  readonly base: Spa;
  readonly end: Spa;
  /** Number of page frames that the table covers. */
  readonly coveredPages: number;
  readonly chunks: Map<number, DataView>;
  /** Chunks that stand for many equal regions at once: copied before they are written. */
  readonly shared: Set<number>;
  /** False until SNP_INIT has built the table. */
  initialised: boolean;
  /** Counts changes of entries. */
  revision: number;
  /** Frames whose entries changed since the processor last looked, so that it need not drop all translations. */
  readonly unseen: Pfn[];
  /** More has changed than `unseen` says. */
  unseenMore: boolean;
  /** Revision of the last change, by page frame; for views. */
  readonly changedAt: Map<Pfn, number>;
}

export const RMP_ENTRY_SIZE = 16;
export const RMP_BOOKKEEPING_SIZE = 0x4000;

/** Bytes of RMP needed to cover `pages` page frames. */
export function rmpSize(pages: number): number {
  return RMP_BOOKKEEPING_SIZE + pages * RMP_ENTRY_SIZE;
}

/** A table at `base` that covers the first `coveredPages` frames. */
export function createRmp(base: Spa, coveredPages: number): Rmp {
  return {
    base,
    end: spa(base + rmpSize(coveredPages) - 1),
    coveredPages,
    chunks: new Map(),
    shared: new Set(),
    initialised: false,
    revision: 0,
    unseen: [],
    unseenMore: false,
    changedAt: new Map(),
  };
}

export function isCovered(rmp: Rmp, frame: Pfn): boolean {
  return frame >= 0 && frame < rmp.coveredPages;
}

export function headOf(frame: Pfn): Pfn {
  return pfn(frame - (frame % PAGES_PER_2M));
}

/** The page's own entry; an uncovered page reads as hypervisor-owned for ever. */
export function readEntry(rmp: Rmp, frame: Pfn): RmpEntry {
  const chunk = rmp.chunks.get(Math.floor(frame / PAGES_PER_2M));
  return chunk ? decodeEntry(chunk, (frame % PAGES_PER_2M) * RMP_ENTRY_SIZE) : HYPERVISOR_ENTRY;
}

/** The 16 bytes as they lie in memory. */
export function rawEntry(rmp: Rmp, frame: Pfn): Uint8Array {
  const chunk = rmp.chunks.get(Math.floor(frame / PAGES_PER_2M));
  const offset = (frame % PAGES_PER_2M) * RMP_ENTRY_SIZE;
  return chunk
    ? new Uint8Array(chunk.buffer, chunk.byteOffset + offset, RMP_ENTRY_SIZE).slice()
    : new Uint8Array(RMP_ENTRY_SIZE);
}

/** What changed, for the event stream. */
export interface RmpChange {
  readonly pfn: Pfn;
  readonly before: RmpEntry;
  readonly after: RmpEntry;
}

/**
 * Writes an entry as hardware or firmware do, and keeps the sub-page count of the region's head entry.
 * Checks are the callers'.
 */
export function writeEntry(rmp: Rmp, frame: Pfn, entry: RmpEntry): RmpChange {
  const chunk = writableChunk(rmp, Math.floor(frame / PAGES_PER_2M));
  const offset = (frame % PAGES_PER_2M) * RMP_ENTRY_SIZE;
  const before = decodeEntry(chunk, offset);
  const head = frame % PAGES_PER_2M === 0;
  const delta = assignedSubPages(entry) - assignedSubPages(before);
  const count = head ? before.subPageCount : decodeEntry(chunk, 0).subPageCount;
  const counted = count + delta;
  const after: RmpEntry = { ...entry, subPageCount: head ? counted & 0x1ff : 0 };
  encodeEntry(after, chunk, offset);
  if (!head && counted !== count) {
    encodeEntry({ ...decodeEntry(chunk, 0), subPageCount: counted & 0x1ff }, chunk, 0);
  }
  rmp.changedAt.set(frame, ++rmp.revision);
  if (before.pageSize2M || after.pageSize2M || rmp.unseen.length >= UNSEEN_MAX) rmp.unseenMore = true;
  else rmp.unseen.push(frame);
  return { pfn: frame, before, after };
}

const UNSEEN_MAX = 64;

/** The processor has taken note of all changes. */
export function markSeen(rmp: Rmp): void {
  rmp.unseen.length = 0;
  rmp.unseenMore = false;
}

function writableChunk(rmp: Rmp, index: number): DataView {
  const known = rmp.chunks.get(index);
  if (known && !rmp.shared.has(index)) return known;
  const chunk = newChunk();
  if (known) new Uint8Array(chunk.buffer).set(new Uint8Array(known.buffer, known.byteOffset, known.byteLength));
  rmp.shared.delete(index);
  rmp.chunks.set(index, chunk);
  return chunk;
}

function newChunk(): DataView {
  return new DataView(new ArrayBuffer(PAGES_PER_2M * RMP_ENTRY_SIZE));
}

/** The count concerns 4 KiB sub-pages: a 2 MiB entry adds none. */
function assignedSubPages(entry: RmpEntry): number {
  return entry.assigned && !entry.pageSize2M ? 1 : 0;
}

/**
 * Writes the same entry to `count` pages from `start` at once, as SNP_INIT does with the pages of the table
 * itself. No change is reported page by page.
 */
export function fillEntries(rmp: Rmp, start: Pfn, count: number, entry: RmpEntry): void {
  const raw = new DataView(new ArrayBuffer(RMP_ENTRY_SIZE));
  encodeEntry({ ...entry, subPageCount: 0 }, raw, 0);
  const bytes = new Uint8Array(raw.buffer);
  const end = start + count;
  // A whole region looks the same wherever it is, as long as the entry names no guest page.
  let whole: DataView | undefined;
  for (let frame: number = start; frame < end; ) {
    const index = Math.floor(frame / PAGES_PER_2M);
    const stop = Math.min(end, (index + 1) * PAGES_PER_2M);
    const isWhole = stop - frame === PAGES_PER_2M;
    if (isWhole && whole) {
      rmp.chunks.set(index, whole);
      rmp.shared.add(index);
      frame = stop;
      continue;
    }
    const chunk = isWhole ? newChunk() : writableChunk(rmp, index);
    if (isWhole) {
      rmp.chunks.set(index, chunk);
      rmp.shared.add(index);
      whole = chunk;
    }
    const region = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (; frame < stop; frame++) region.set(bytes, (frame % PAGES_PER_2M) * RMP_ENTRY_SIZE);
    let assigned = 0;
    for (let i = 0; i < PAGES_PER_2M; i++) assigned += (chunk.getUint8(i * RMP_ENTRY_SIZE) & 3) === 1 ? 1 : 0;
    encodeEntry({ ...decodeEntry(chunk, 0), subPageCount: assigned & 0x1ff }, chunk, 0);
  }
  rmp.revision++;
  rmp.unseenMore = true;
}

/**
 * The entry that governs a page: its own, or, inside a 2 MiB RMP page, that of the region's head with the GPA of
 * the page itself (Linux arch/x86/virt/svm/sev.c `__snp_lookup_rmpentry` reads the size there too).
 */
export function effectiveEntry(rmp: Rmp, frame: Pfn): RmpEntry {
  const index = frame % PAGES_PER_2M;
  if (index === 0) return readEntry(rmp, frame);
  const head = readEntry(rmp, headOf(frame));
  if (!head.assigned || !head.pageSize2M) return readEntry(rmp, frame);
  // A Firmware page has no guest address; a number there would make it a Metadata page.
  return {
    ...head,
    gpa: head.asid === 0 && head.gpa === 0 ? head.gpa : gpa(head.gpa + index * PAGE_SIZE),
    subPageCount: 0,
  };
}

/** True if any 4 KiB sub-page of the region of `frame` is assigned. */
export function regionHasAssigned(rmp: Rmp, frame: Pfn): boolean {
  const chunk = rmp.chunks.get(Math.floor(frame / PAGES_PER_2M));
  if (!chunk) return false;
  for (let i = 0; i < PAGES_PER_2M; i++) if ((chunk.getUint8(i * RMP_ENTRY_SIZE) & 1) !== 0) return true;
  return false;
}
