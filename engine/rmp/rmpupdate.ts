import { type Gpa, gfnOf, hex, PAGE_SIZE, PAGE_SIZE_2M, PAGES_PER_2M, type Pfn, spaOf } from '../address.js';
import { defineFault } from '../fault.js';
import { inFrame, type Op, rmpEvent } from '../timeline/event.js';
import { HYPERVISOR_ENTRY, type RmpEntry, VMPL_ALL } from './entry.js';
import {
  describeInstruction,
  failInstruction,
  INSTRUCTION_SUCCESS,
  type InstructionResult,
  instruction,
  type RmpMachine,
} from './instruction.js';
import { pageState } from './page-state.js';
import { effectiveEntry, headOf, isCovered, readEntry, regionHasAssigned, writeEntry } from './table.js';

/** The 16-byte operand of RMPUPDATE. Linux arch/x86/include/asm/sev.h `struct rmp_state`. */
export interface RmpState {
  readonly assigned: boolean;
  readonly pageSize2M: boolean;
  readonly immutable: boolean;
  readonly gpa: Gpa;
  readonly asid: number;
}

/** The operand that gives a page back to the hypervisor. Linux `rmp_make_shared`. */
export const SHARED: Omit<RmpState, 'pageSize2M'> = { assigned: false, immutable: false, gpa: 0 as Gpa, asid: 0 };

const APM = 'AMD64 APM vol. 3, RMPUPDATE; vol. 2, 15.36.5';

export const RMPUPDATE_ALIGNMENT = defineFault<{ spa: string; size: string }>({
  check: 'hw-rmpupdate-alignment',
  layer: 'hardware',
  command: 'RMPUPDATE',
  code: instruction('FAIL_INPUT'),
  title: 'System physical address not aligned to the page size',
  message: (o) => `The system physical address ${o.spa} is not aligned to the page size ${o.size} of the operand.`,
  why: 'A 2 MiB RMP entry governs a whole 2 MiB region and lives in the entry of its first page. An update of that size anywhere else has no entry to go to.',
  hint: 'Use the first page of the 2 MiB region, or update 4 KiB pages.',
  reference: APM,
  confirmed: false,
});

export const RMPUPDATE_UNCOVERED = defineFault<{ spa: string; covered: string }>({
  check: 'hw-rmpupdate-uncovered',
  layer: 'hardware',
  command: 'RMPUPDATE',
  code: instruction('FAIL_INPUT'),
  title: 'The RMP does not cover the page',
  message: (o) => `The page at ${o.spa} has no RMP entry: the table covers memory below ${o.covered}.`,
  why: 'RMP_BASE and RMP_END limit how much memory has entries. A page without an entry belongs to the hypervisor for ever and can never become guest memory.',
  hint: 'Reserve a larger RMP (16 bytes for each 4 KiB page of memory), or use memory that it covers.',
  reference: APM,
  confirmed: false,
});

export const RMPUPDATE_GPA_ALIGNMENT = defineFault<{ gpa: string; size: string }>({
  check: 'hw-rmpupdate-gpa-alignment',
  layer: 'hardware',
  command: 'RMPUPDATE',
  code: instruction('FAIL_INPUT'),
  title: 'Guest physical address not aligned to the page size',
  message: (o) => `The guest physical address ${o.gpa} is not aligned to the page size ${o.size} of the operand.`,
  why: 'The entry stores the number of the guest page that the memory backs. A page backs exactly one guest page, so the address must be that page’s first byte.',
  hint: 'Use a guest physical address that is a multiple of the page size.',
  reference: APM,
  confirmed: false,
});

export const RMPUPDATE_GPA_RANGE = defineFault<{ gpa: string }>({
  check: 'hw-rmpupdate-gpa-range',
  layer: 'hardware',
  command: 'RMPUPDATE',
  code: instruction('FAIL_INPUT'),
  title: 'Guest physical address does not fit into the RMP entry',
  message: (o) => `The guest physical address ${o.gpa} has bits set above bit 50.`,
  why: 'An RMP entry has room for bits 50:12 of a guest physical address; the bits above are reserved and must be zero.',
  hint: 'Remove the C-bit from the address, and keep guest memory below 2^51.',
  reference: 'AMDESE/sev-tool src/rmp.h, RMP entry; AMD64 APM vol. 3, RMPUPDATE',
  confirmed: false,
});

export const RMPUPDATE_ASID = defineFault<{ asid: number; maxAsid: number }>({
  check: 'hw-rmpupdate-asid',
  layer: 'hardware',
  command: 'RMPUPDATE',
  code: instruction('FAIL_INPUT'),
  title: 'ASID out of range',
  message: (o) => `ASID ${o.asid} is not between 0 and ${o.maxAsid}, the highest ASID of this processor.`,
  why: 'The ASID in the entry names the guest that owns the page. CPUID 8000_001F ECX says how many the processor has.',
  hint: 'Use the ASID that SNP_ACTIVATE bound to the guest.',
  reference: APM,
  confirmed: false,
});

export const RMPUPDATE_UNASSIGNED_FIELDS = defineFault<{ asid: number; immutable: boolean }>({
  check: 'hw-rmpupdate-unassigned-fields',
  layer: 'hardware',
  command: 'RMPUPDATE',
  code: instruction('FAIL_PERMISSION'),
  title: 'An unassigned page cannot have an owner',
  message: (o) => `The operand has Assigned = 0 but ASID ${o.asid} and Immutable ${o.immutable ? 1 : 0}.`,
  why: 'Assigned = 0 means that the page belongs to the hypervisor. An ASID or the Immutable bit would contradict that.',
  hint: 'Pass an operand of zeros to give the page back, or set Assigned.',
  reference: `${APM}; microsoft/verismo source/verismo/src/arch/rmp/access_s.rs`,
  confirmed: false,
});

export const RMPUPDATE_IMMUTABLE = defineFault<{ spa: string; state: string }>({
  check: 'hw-rmpupdate-immutable',
  layer: 'hardware',
  command: 'RMPUPDATE',
  code: instruction('FAIL_PERMISSION'),
  title: 'The page is immutable',
  message: (o) => `The page at ${o.spa} is in state ${o.state}: its Immutable bit is set.`,
  why: 'Immutable pages are in the hands of the firmware: contexts, pages on their way into or out of a guest, the RMP itself. If the hypervisor could change their entries, it could swap memory under the firmware’s feet.',
  hint: 'Let the firmware release the page first: SNP_PAGE_RECLAIM for Firmware and Pre-Guest pages, SNP_DECOMMISSION for a Context page. HV-Fixed pages and the RMP stay as they are until reset.',
  reference: 'AMD64 APM vol. 2, 15.36.5; AMDESE/AMDSEV issue 245 (return code 2)',
  confirmed: true,
});

export const RMPUPDATE_LOCKED = defineFault<{ spa: string }>({
  check: 'hw-rmpupdate-in-use',
  layer: 'hardware',
  command: 'RMPUPDATE',
  code: instruction('FAIL_INUSE'),
  title: 'The page is in use',
  message: (o) => `The RMP entry of the page at ${o.spa} is locked.`,
  why: 'Another processor or the firmware is working on the entry, or the page holds the VMSA, VMCB or AVIC page of a running vCPU. Changing it now would pull it away from under them.',
  hint: 'Repeat the instruction when the other operation has ended; stop the vCPU before its VMSA page is taken.',
  reference: APM,
  confirmed: false,
});

export const RMPUPDATE_OVERLAP_2M = defineFault<{ spa: string; head: string }>({
  check: 'hw-rmpupdate-overlap-2m',
  layer: 'hardware',
  command: 'RMPUPDATE',
  code: instruction('FAIL_OVERLAP'),
  title: '4 KiB update inside a 2 MiB page',
  message: (o) => `The page at ${o.spa} is part of the 2 MiB RMP page at ${o.head}.`,
  why: 'A 2 MiB entry speaks for all 512 pages of its region. A second entry for one of them would make the table contradict itself.',
  hint: 'Split the region with PSMASH first, or update it as a whole with a 2 MiB operand.',
  reference: 'AMD64 APM vol. 3, RMPUPDATE; Linux arch/x86/virt/svm/sev.c rmpupdate()',
  confirmed: true,
});

export const RMPUPDATE_OVERLAP_4K = defineFault<{ spa: string; assigned: number }>({
  check: 'hw-rmpupdate-overlap-4k',
  layer: 'hardware',
  command: 'RMPUPDATE',
  code: instruction('FAIL_OVERLAP'),
  title: '2 MiB update over assigned 4 KiB pages',
  message: (o) => `${o.assigned} of the 512 pages of the region at ${o.spa} are assigned as 4 KiB pages.`,
  why: 'A 2 MiB entry would hide the entries of the small pages below it, and with them their owners.',
  hint: 'Give the 4 KiB pages back first, or update 4 KiB pages.',
  reference: 'AMD64 APM vol. 3, RMPUPDATE; Linux arch/x86/virt/svm/sev.c rmpupdate()',
  confirmed: true,
});

/** Why the operand is refused, or undefined. Order: AMD64 APM vol. 2, 15.36.5 (partly unconfirmed). */
function refusal(machine: RmpMachine, frame: Pfn, state: RmpState): InstructionResult | undefined {
  const { rmp, processor } = machine;
  const size = state.pageSize2M ? '2M' : '4K';
  const spa = hex(spaOf(frame));
  if (state.pageSize2M && frame % PAGES_PER_2M !== 0) return failInstruction(RMPUPDATE_ALIGNMENT, { spa, size });
  if (!isCovered(rmp, frame)) {
    return failInstruction(RMPUPDATE_UNCOVERED, { spa, covered: hex(rmp.coveredPages * PAGE_SIZE) });
  }
  if (state.gpa % (state.pageSize2M ? PAGE_SIZE_2M : PAGE_SIZE) !== 0) {
    return failInstruction(RMPUPDATE_GPA_ALIGNMENT, { gpa: hex(state.gpa), size });
  }
  if (state.gpa >= 2 ** 51) return failInstruction(RMPUPDATE_GPA_RANGE, { gpa: hex(state.gpa) });
  if (state.asid < 0 || state.asid > processor.maxAsid) {
    return failInstruction(RMPUPDATE_ASID, { asid: state.asid, maxAsid: processor.maxAsid });
  }
  if (!state.assigned && (state.asid !== 0 || state.immutable)) {
    return failInstruction(RMPUPDATE_UNASSIGNED_FIELDS, { asid: state.asid, immutable: state.immutable });
  }
  const before = effectiveEntry(rmp, frame);
  const immutable = before.immutable ? frame : state.pageSize2M ? immutableUnassigned(machine, frame) : undefined;
  if (immutable !== undefined) {
    const entry = effectiveEntry(rmp, immutable);
    return failInstruction(RMPUPDATE_IMMUTABLE, {
      spa: hex(spaOf(immutable)),
      state: pageState(entry, rmp.initialised),
    });
  }
  if (before.lock) return failInstruction(RMPUPDATE_LOCKED, { spa });
  const is2M = before.assigned && before.pageSize2M;
  if (is2M && !state.pageSize2M) {
    return failInstruction(RMPUPDATE_OVERLAP_2M, { spa, head: hex(spaOf(headOf(frame))) });
  }
  if (!is2M && state.pageSize2M && regionHasAssigned(rmp, frame)) {
    return failInstruction(RMPUPDATE_OVERLAP_4K, { spa, assigned: assignedPages(machine, frame) });
  }
  return undefined;
}

/** First HV-Fixed page of the region: not assigned, so the overlap check does not see it. */
function immutableUnassigned(machine: RmpMachine, head: Pfn): Pfn | undefined {
  if (!machine.rmp.chunks.has(head / PAGES_PER_2M)) return undefined;
  for (let i = 0; i < PAGES_PER_2M; i++) {
    const entry = readEntry(machine.rmp, (head + i) as Pfn);
    if (entry.immutable && !entry.assigned) return (head + i) as Pfn;
  }
  return undefined;
}

function assignedPages(machine: RmpMachine, head: Pfn): number {
  let count = 0;
  for (let i = 0; i < PAGES_PER_2M; i++) if (readEntry(machine.rmp, (head + i) as Pfn).assigned) count++;
  return count;
}

/** The entry after an accepted update: Validated, VMSA and the masks survive only if the page stays the same one. */
function updated(before: RmpEntry, state: RmpState): RmpEntry {
  if (!state.assigned) return HYPERVISOR_ENTRY;
  const same =
    before.assigned &&
    state.asid !== 0 &&
    before.asid === state.asid &&
    before.gpa === state.gpa &&
    before.pageSize2M === state.pageSize2M;
  const kept = same ? before : { validated: false, vmsa: false, vmpl: [VMPL_ALL, 0, 0, 0] as const };
  return {
    assigned: true,
    pageSize2M: state.pageSize2M,
    immutable: state.immutable,
    subPageCount: 0,
    gpa: state.gpa,
    asid: state.asid,
    validated: kept.validated,
    vmsa: kept.vmsa,
    vmpl: kept.vmpl,
    lock: false,
  };
}

/** RMPUPDATE of one page, 4 KiB or 2 MiB. Yields the change of the entry. AMD64 APM vol. 3, RMPUPDATE. */
export function* rmpUpdate(machine: RmpMachine, frame: Pfn, state: RmpState): Op<InstructionResult> {
  const args = {
    spa: hex(spaOf(frame)),
    size: state.pageSize2M ? '2M' : '4K',
    assigned: state.assigned,
    immutable: state.immutable,
    gpa: hex(state.gpa),
    asid: state.asid,
  };
  return yield* inFrame(
    machine.stack,
    'hardware',
    'RMPUPDATE',
    { args, page: state.asid === 0 ? undefined : { gfn: gfnOf(state.gpa), pfn: frame } },
    () => update(machine, frame, state),
    describeInstruction,
  );
}

function* update(machine: RmpMachine, frame: Pfn, state: RmpState): Op<InstructionResult> {
  const refused = refusal(machine, frame, state);
  if (refused) return refused;
  const change = writeEntry(machine.rmp, frame, updated(readEntry(machine.rmp, frame), state));
  yield rmpEvent(machine.stack, 'RMPUPDATE', change);
  return INSTRUCTION_SUCCESS;
}
