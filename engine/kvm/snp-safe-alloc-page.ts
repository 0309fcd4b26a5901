import { PAGES_PER_2M, type Pfn } from '../address.js';
import { defineFault } from '../fault.js';
import type { Machine } from '../machine.js';
import { allocPage, freePage } from '../memory/system-memory.js';
import { errno } from '../spec/errno.js';

export const NO_MEMORY = defineFault<{ use: string }>({
  check: 'kvm-no-memory',
  layer: 'kvm',
  command: 'alloc_page',
  code: errno('ENOMEM'),
  title: 'Host out of memory',
  message: (o) => `The host has no free page left for: ${o.use}.`,
  why: 'Private guest memory, VMSA pages and the pages handed to the firmware are pages of the host. Guest memory is allocated when it is first needed, so a host can run out in the middle of a launch.',
  hint: 'Give the host more memory (host.memory), or launch less.',
  reference: 'Linux virt/kvm/guest_memfd.c kvm_gmem_get_folio(); arch/x86/kvm/svm/sev.c snp_safe_alloc_page()',
  confirmed: true,
});

/**
 * A page for a VMSA, VMCB or AVIC backing page: never the first page of a 2 MiB region, because of an erratum of
 * the processor. Linux arch/x86/kvm/svm/sev.c snp_safe_alloc_page().
 */
export function snpSafeAllocPage(machine: Machine, use: string): Pfn | undefined {
  const aligned: Pfn[] = [];
  let page = allocPage(machine.memory, use);
  while (page !== undefined && page % PAGES_PER_2M === 0) {
    aligned.push(page);
    page = allocPage(machine.memory, use);
  }
  for (const head of aligned) freePage(machine.memory, head);
  return page;
}
