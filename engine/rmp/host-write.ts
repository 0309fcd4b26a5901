import { hex, PAGE_SIZE, type Pfn, spaOf } from '../address.js';
import { defineFault, type Fault, makeFault } from '../fault.js';
import { patchPage, type SystemMemory } from '../memory/system-memory.js';
import { isHypervisorOwned } from './hypervisor-owned.js';
import { pageState } from './page-state.js';
import { effectiveEntry, type Rmp } from './table.js';

export const HOST_WRITE = defineFault<{ spa: string; state: string; owner: string }>({
  check: 'hw-host-write',
  layer: 'hardware',
  command: 'memory access',
  code: { kind: 'exception', name: 'PF', value: 0x8000_0003 },
  title: 'The host writes to a page that it does not own',
  message: (o) => `The host wrote to ${o.spa}, which is in state ${o.state} (${o.owner}): #PF with the RMP bit.`,
  why: 'Each write of the host is checked against the RMP: only pages that are not assigned take it. Otherwise the host could change guest memory, or put old ciphertext of it back.',
  hint: 'Take the page back with RMPUPDATE first: that clears its Validated bit, and the guest notices.',
  reference: 'AMD64 APM vol. 2, 15.36.10; Linux arch/x86/mm/fault.c, X86_PF_RMP',
  confirmed: true,
});

/** A write of the host through its direct map of 4 KiB pages. Undefined: done. */
export function hostWrite(
  machine: { readonly memory: SystemMemory; readonly rmp: Rmp },
  frame: Pfn,
  offset: number,
  bytes: Uint8Array,
): Fault | undefined {
  if (offset + bytes.length > PAGE_SIZE) throw new Error('a write across pages');
  if (isHypervisorOwned(machine.rmp, frame, false)) {
    patchPage(machine.memory, frame, offset, bytes);
    return undefined;
  }
  const entry = effectiveEntry(machine.rmp, frame);
  const owner = entry.asid === 0 ? 'firmware' : `ASID ${entry.asid}`;
  return makeFault(HOST_WRITE, { spa: hex(spaOf(frame)), state: pageState(entry, machine.rmp.initialised), owner });
}
