import type { Gfn, Pfn } from '../../address.js';

/**
 * The nested page table of a guest, as the processor walks it. Kept flat, by guest frame: what its levels are does
 * not show, except by the size of a mapping.
 */
export interface NestedPageTable {
  /** A 2 MiB mapping stands under its first frame. */
  readonly entries: Map<Gfn, NptEntry>;
  /** Counts changes that take a permission away: translations made before are void (Linux: TLB flush). */
  revision: number;
}

export interface NptEntry {
  /** First frame of the mapping. */
  readonly pfn: Pfn;
  readonly writable: boolean;
  readonly size2M: boolean;
  /** A reserved bit is set: KVM marks MMIO so, and the guest gets #VC instead of an exit to the host. */
  readonly reserved: boolean;
}

export interface NptTranslation {
  /** Frame of the page itself. */
  readonly pfn: Pfn;
  readonly entry: NptEntry;
}

const PAGES_PER_2M = 512;

export function createNestedPageTable(): NestedPageTable {
  return { entries: new Map(), revision: 0 };
}

export function nptLookup(table: NestedPageTable, frame: Gfn): NptTranslation | undefined {
  const small = table.entries.get(frame);
  if (small && !small.size2M) return { pfn: small.pfn, entry: small };
  const index = frame % PAGES_PER_2M;
  const large = table.entries.get((frame - index) as Gfn);
  return large?.size2M ? { pfn: (large.pfn + index) as Pfn, entry: large } : undefined;
}

export function nptMap(table: NestedPageTable, frame: Gfn, entry: NptEntry): void {
  // A new entry may also hide a larger mapping around it.
  if (table.entries.has(frame) || nptLookup(table, frame)) table.revision++;
  table.entries.set(frame, entry);
}

/** Drops all mappings that touch [start, end). True if there was one. Linux kvm_unmap_gfn_range(). */
export function nptZap(table: NestedPageTable, start: Gfn, end: Gfn): boolean {
  const first = start - (start % PAGES_PER_2M);
  let zapped = false;
  const drop = (frame: number): void => {
    const entry = table.entries.get(frame as Gfn);
    if (!entry || (frame < start && !entry.size2M)) return;
    table.entries.delete(frame as Gfn);
    zapped = true;
  };
  // The table is small next to the ranges that attributes are set for.
  if (end - first > table.entries.size) {
    for (const frame of [...table.entries.keys()]) if (frame >= first && frame < end) drop(frame);
  } else for (let frame = first; frame < end; frame++) drop(frame);
  if (zapped) table.revision++;
  return zapped;
}
