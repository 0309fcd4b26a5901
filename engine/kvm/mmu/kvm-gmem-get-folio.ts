import { PAGES_PER_2M, pfn } from '../../address.js';
import type { Machine } from '../../machine.js';
import { allocHugePage, allocPage } from '../../memory/system-memory.js';
import type { GmemFolio, GuestMemfd, MemorySlot } from '../state.js';

/**
 * kvm_gmem_get_folio(): the page of a guest_memfd, zeroed. With `hugePages` the whole 2 MiB around it are allocated at
 * once if the file has them, none of them is there yet and the host finds 512 free frames in a row; otherwise, and
 * always without the option, one page. What Linux keeps for a folio stands here with each of its pages, so that a part
 * of a folio can be launched or freed. Undefined: no memory. Linux virt/kvm/guest_memfd.c; the larger folios are those
 * of the series up to v14 ("KVM: guest_memfd: Enable support for huge pages").
 */
export function kvmGmemGetFolio(machine: Machine, gmem: GuestMemfd, index: number): GmemFolio | undefined {
  const { memory, kvm } = machine;
  if (kvm.hugePages) allocRegion(machine, gmem, index - (index % PAGES_PER_2M));
  const huge = gmem.folios.get(index);
  if (huge) return huge;
  const frame = allocPage(memory, 'guest_memfd');
  if (frame === undefined) return undefined;
  const folio = { pfn: frame, prepared: false };
  gmem.folios.set(index, folio);
  return folio;
}

function allocRegion(machine: Machine, gmem: GuestMemfd, first: number): void {
  if (first + PAGES_PER_2M > gmem.pages) return;
  for (let i = 0; i < PAGES_PER_2M; i++) if (gmem.folios.has(first + i)) return;
  const head = allocHugePage(machine.memory, 'guest_memfd');
  if (head === undefined) return;
  for (let i = 0; i < PAGES_PER_2M; i++) {
    gmem.folios.set(first + i, { pfn: pfn(head + i), prepared: false, isHuge: true });
  }
}

/** Takes a page out of the file. What is left of its folio counts as single pages from now on. */
export function kvmGmemRemoveFolio(gmem: GuestMemfd, index: number): GmemFolio | undefined {
  const folio = gmem.folios.get(index);
  gmem.folios.delete(index);
  if (!folio?.isHuge) return folio;
  const first = index - (index % PAGES_PER_2M);
  for (let i = 0; i < PAGES_PER_2M; i++) {
    const page = gmem.folios.get(first + i);
    if (page) page.isHuge = false;
  }
  return folio;
}

/** `max_order` of a folio for a slot: 9 where frames of the guest and of the host are aligned alike, otherwise 0. */
export function maxOrderOf(slot: MemorySlot, folio: GmemFolio, frame: number): number {
  const head = frame - (frame % PAGES_PER_2M);
  const inside = head >= slot.gfn && head + PAGES_PER_2M <= slot.gfn + slot.pages;
  return folio.isHuge && inside && (slot.gfn - slot.gmemPage) % PAGES_PER_2M === 0 ? 9 : 0;
}
