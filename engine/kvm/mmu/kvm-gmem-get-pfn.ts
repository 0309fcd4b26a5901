import { type Gfn, gpaOf, hex, PAGES_PER_2M, type Pfn } from '../../address.js';
import type { Machine } from '../../machine.js';
import { headOf, readEntry } from '../../rmp/table.js';
import type { Op } from '../../timeline/event.js';
import { type IoctlResult, refuse } from '../result.js';
import { NO_MEMORY } from '../snp-safe-alloc-page.js';
import type { GuestMemfd, KvmVm, MemorySlot } from '../state.js';
import { kvmGmemGetFolio, maxOrderOf } from './kvm-gmem-get-folio.js';
import { sevGmemPrepare } from './sev-gmem-prepare.js';

export type GmemPfn =
  | { readonly ok: true; readonly pfn: Pfn; readonly maxOrder: number }
  | { readonly ok: false; readonly result: IoctlResult };

/**
 * kvm_gmem_get_pfn(): the page of guest_memfd behind a frame of the slot, allocated and made private if need be.
 * Linux virt/kvm/guest_memfd.c. The slot has a guest_memfd.
 */
export function* kvmGmemGetPfn(machine: Machine, vm: KvmVm, slot: MemorySlot, frame: Gfn): Op<GmemPfn> {
  const gmem = slot.gmemFd === undefined ? undefined : vm.gmems.get(slot.gmemFd);
  if (!gmem) throw new Error(`slot ${slot.id} has no guest_memfd`);
  const index = slot.gmemPage + (frame - slot.gfn);
  const folio = gmem.folios.get(index) ?? kvmGmemGetFolio(machine, gmem, index);
  if (!folio) {
    return { ok: false, result: refuse(NO_MEMORY, { use: `guest_memfd page for ${hex(gpaOf(frame))}` }) };
  }
  const maxOrder = maxOrderOf(slot, folio, frame);
  if (!(machine.kvmProfile.gmemPrepareOnce && folio.prepared)) {
    const prepared = yield* sevGmemPrepare(machine, vm, frame, folio.pfn, maxOrder);
    if (prepared.fault) return { ok: false, result: prepared };
    if (!folio.prepared) markPrepared(machine, gmem, index, maxOrder);
  }
  return { ok: true, pfn: folio.pfn, maxOrder };
}

/** With one entry of 2 MiB the whole folio is prepared. */
function markPrepared(machine: Machine, gmem: GuestMemfd, index: number, maxOrder: number): void {
  const folio = gmem.folios.get(index);
  if (!folio) return;
  folio.prepared = true;
  const head = readEntry(machine.rmp, headOf(folio.pfn));
  if (maxOrder < 9 || !head.assigned || !head.pageSize2M) return;
  const first = index - (index % PAGES_PER_2M);
  for (let i = 0; i < PAGES_PER_2M; i++) {
    const page = gmem.folios.get(first + i);
    if (page?.isHuge) page.prepared = true;
  }
}
