import { PAGES_PER_2M, type Pfn, pfn } from '../address.js';
import { headOf, isCovered, RMP_ENTRY_SIZE, type Rmp, regionHasAssigned } from './table.js';

/**
 * The Hypervisor-Owned check: a page without an entry, or whose entry is not assigned; through a 2 MiB mapping none
 * of the region's pages may be assigned. AMD64 APM vol. 2, 15.36.10, table 15-38. It guards writes of the host (#PF
 * with the RMP bit), shared writes of a guest, and the pages that VMRUN uses.
 */
export function isHypervisorOwned(rmp: Rmp, frame: Pfn, mapping2M: boolean): boolean {
  const index = frame % PAGES_PER_2M;
  const chunk = rmp.chunks.get((frame - index) / PAGES_PER_2M);
  if (!chunk) return true;
  if (mapping2M) return !regionHasAssigned(rmp, frame);
  if (!isCovered(rmp, frame)) return true;
  const in2M = (chunk.getUint8(0) & 3) === 3;
  return !in2M && (chunk.getUint8(index * RMP_ENTRY_SIZE) & 1) === 0;
}

/** An assigned page of the 2 MiB region around `frame`: itself, or the first one; `frame` if there is none. */
export function assignedPageOf(rmp: Rmp, frame: Pfn): Pfn {
  if (!isHypervisorOwned(rmp, frame, false)) return frame;
  const head = headOf(frame);
  for (let i = 0; i < PAGES_PER_2M; i++) {
    if (!isHypervisorOwned(rmp, pfn(head + i), false)) return pfn(head + i);
  }
  return frame;
}
