import { gfn, hex, isPageAligned, PAGE_SIZE, type Pfn } from '../../address.js';
import { nptZap } from '../../cpu/svm/nested-page-table.js';
import { defineFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { errno } from '../../spec/errno.js';
import type { Op } from '../../timeline/event.js';
import { DONE, type IoctlResult, inKernel, refuse } from '../result.js';
import type { GuestMemfd, KvmVm } from '../state.js';
import { kvmGmemFreeFolios } from './kvm-gmem-free-folios.js';
import { kvmGmemRemoveFolio } from './kvm-gmem-get-folio.js';

export const PUNCH_RANGE = defineFault<{ offset: string; length: string }>({
  check: 'kvm-gmem-punch-range',
  layer: 'kvm',
  command: 'fallocate',
  code: errno('EINVAL'),
  title: 'Hole not page aligned',
  message: (o) =>
    `A hole of ${o.length} bytes at offset ${o.offset} of a guest_memfd is empty or not aligned to 4 KiB.`,
  why: 'A guest_memfd holds whole pages of private memory; each of them belongs to the guest as a whole or not at all.',
  hint: 'Align offset and length to 4 KiB (0x1000).',
  reference: 'Linux virt/kvm/guest_memfd.c kvm_gmem_fallocate(); fs/open.c vfs_fallocate()',
  confirmed: true,
});

/**
 * fallocate(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE) on a guest_memfd: the private pages of the range leave the
 * nested page table, become shared in the RMP and are freed. Linux virt/kvm/guest_memfd.c kvm_gmem_punch_hole().
 */
export function kvmGmemPunchHole(
  machine: Machine,
  vm: KvmVm,
  gmem: GuestMemfd,
  offset: number,
  length: number,
): Op<IoctlResult> {
  const args = { fd: gmem.fd, mode: 'PUNCH_HOLE', offset: hex(offset), len: hex(length) };
  return inKernel(machine, 'fallocate', args, function* () {
    if (offset < 0 || length <= 0 || !isPageAligned(offset) || !isPageAligned(length)) {
      return refuse(PUNCH_RANGE, { offset: hex(offset), length: hex(length) });
    }
    const first = offset / PAGE_SIZE;
    const end = first + length / PAGE_SIZE;
    for (const slot of vm.slots.values()) {
      if (slot.gmemFd !== gmem.fd || !vm.nestedPageTable) continue;
      const from = Math.max(first, slot.gmemPage);
      const to = Math.min(end, slot.gmemPage + slot.pages);
      const shift = slot.gfn - slot.gmemPage;
      if (from < to) nptZap(vm.nestedPageTable, gfn(from + shift), gfn(to + shift));
    }
    const freed: Pfn[] = [];
    for (const index of present(gmem, first, end)) {
      const folio = kvmGmemRemoveFolio(gmem, index);
      if (folio) freed.push(folio.pfn);
    }
    yield* kvmGmemFreeFolios(machine, freed);
    return DONE;
  });
}

function present(gmem: GuestMemfd, first: number, end: number): readonly number[] {
  if (end - first > gmem.folios.size) {
    return [...gmem.folios.keys()].filter((i) => i >= first && i < end).sort((a, b) => a - b);
  }
  return Array.from({ length: end - first }, (_, i) => first + i);
}
