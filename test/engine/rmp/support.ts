import { gpa, PAGES_PER_2M, pfn, spa } from '../../../engine/address.js';
import { HYPERVISOR_ENTRY, type RmpEntry, VMPL_ALL } from '../../../engine/rmp/entry.js';
import type { InstructionInput, RmpTarget } from '../../../engine/rmp/guest-instruction.js';
import { createRmp, type Rmp, writeEntry } from '../../../engine/rmp/table.js';

/** The first page of a region, and where it lies in the guest with ASID 1. */
export const HEAD = pfn(4 * PAGES_PER_2M);
export const HOME = gpa(0x4000_0000);
/** First page without an entry. */
export const UNCOVERED = pfn(8 * PAGES_PER_2M);

/** A page of the guest in state Guest-Valid, with the differences. */
export const guestPage = (fields: Partial<RmpEntry> = {}): RmpEntry => ({
  ...HYPERVISOR_ENTRY,
  assigned: true,
  gpa: HOME,
  asid: 1,
  validated: true,
  vmpl: [VMPL_ALL, 0, 0, 0],
  ...fields,
});

export const hypervisorPage = (fields: Partial<RmpEntry> = {}): RmpEntry => ({ ...HYPERVISOR_ENTRY, ...fields });

/** A table with this entry at HEAD. */
export function tableWith(entry: RmpEntry): Rmp {
  const rmp = createRmp(spa(0), UNCOVERED);
  rmp.initialised = true;
  writeEntry(rmp, HEAD, entry);
  return rmp;
}

/** Stage 1 as the kernel of a guest at VMPL0 calls it. */
export const input = (fields: Partial<InstructionInput> = {}): InstructionInput => ({
  snpActive: true,
  cpl: 0,
  vmpl: 0,
  gva: 0xffff_8880_4000_0000n,
  ecx: 0,
  edx: 0,
  ...fields,
});

/** HEAD, mapped with 4 KiB where it belongs. */
export const target = (fields: Partial<RmpTarget> = {}): RmpTarget => ({
  pfn: HEAD,
  gpa: HOME,
  nptPageSize2M: false,
  asid: 1,
  vmpl: 0,
  encrypted: true,
  ...fields,
});
