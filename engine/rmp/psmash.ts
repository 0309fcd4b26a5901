import { gpa, hex, PAGE_SIZE, PAGES_PER_2M, type Pfn, pfn, spaOf } from '../address.js';
import { defineFault } from '../fault.js';
import { inFrame, type Op, rmpEvent } from '../timeline/event.js';
import {
  describeInstruction,
  failInstruction,
  INSTRUCTION_SUCCESS,
  type InstructionResult,
  instruction,
  type RmpMachine,
} from './instruction.js';
import { pageState } from './page-state.js';
import { isCovered, readEntry, writeEntry } from './table.js';

const APM = 'AMD64 APM vol. 3, PSMASH';

export const PSMASH_ALIGNMENT = defineFault<{ spa: string }>({
  check: 'hw-psmash-alignment',
  layer: 'hardware',
  command: 'PSMASH',
  code: instruction('FAIL_INPUT'),
  title: 'Address not aligned to 2 MiB',
  message: (o) => `The system physical address ${o.spa} is not 2 MiB aligned.`,
  why: 'PSMASH splits one 2 MiB RMP page, which begins at a multiple of 2 MiB.',
  hint: 'Pass the address of the first page of the region.',
  reference: APM,
  confirmed: true,
});

export const PSMASH_UNCOVERED = defineFault<{ spa: string; covered: string }>({
  check: 'hw-psmash-uncovered',
  layer: 'hardware',
  command: 'PSMASH',
  code: { kind: 'instruction', name: 'FAIL_BADADDR', value: 4 },
  title: 'The RMP does not cover the page',
  message: (o) => `The page at ${o.spa} has no RMP entry: the table covers memory below ${o.covered}.`,
  why: 'Memory above RMP_END has no entries, so there is nothing to split.',
  hint: 'Use memory that the RMP covers.',
  reference: APM,
  confirmed: false,
});

export const PSMASH_NOT_2M = defineFault<{ spa: string; state: string; size: string }>({
  check: 'hw-psmash-not-2m',
  layer: 'hardware',
  command: 'PSMASH',
  code: instruction('FAIL_INPUT'),
  title: 'Not an assigned 2 MiB page',
  message: (o) => `The page at ${o.spa} is in state ${o.state} with a ${o.size} entry, not an assigned 2 MiB page.`,
  why: 'Only a 2 MiB entry can be split. A region whose pages are already 4 KiB needs no PSMASH.',
  hint: 'Read the entry first, and split only a region that is one 2 MiB page.',
  reference: APM,
  confirmed: false,
});

export const PSMASH_IMMUTABLE = defineFault<{ spa: string; state: string }>({
  check: 'hw-psmash-immutable',
  layer: 'hardware',
  command: 'PSMASH',
  code: instruction('FAIL_PERMISSION'),
  title: 'The page is immutable',
  message: (o) => `The 2 MiB page at ${o.spa} is in state ${o.state}: its Immutable bit is set.`,
  why: 'An immutable page is in the hands of the firmware, and so is its size.',
  hint: 'Release it with SNP_PAGE_RECLAIM first.',
  reference: APM,
  confirmed: false,
});

export const PSMASH_LOCKED = defineFault<{ spa: string }>({
  check: 'hw-psmash-in-use',
  layer: 'hardware',
  command: 'PSMASH',
  code: instruction('FAIL_INUSE'),
  title: 'The page is in use',
  message: (o) => `The RMP entry of the page at ${o.spa} is locked.`,
  why: 'Another processor or the firmware is working on the entry.',
  hint: 'Repeat the instruction; Linux does so in a loop.',
  reference: `${APM}; Linux arch/x86/virt/svm/sev.c psmash()`,
  confirmed: true,
});

function refusal(machine: RmpMachine, head: Pfn): InstructionResult | undefined {
  const { rmp } = machine;
  const spa = hex(spaOf(head));
  if (head % PAGES_PER_2M !== 0) return failInstruction(PSMASH_ALIGNMENT, { spa });
  if (!isCovered(rmp, head)) {
    return failInstruction(PSMASH_UNCOVERED, { spa, covered: hex(rmp.coveredPages * PAGE_SIZE) });
  }
  const entry = readEntry(rmp, head);
  const state = pageState(entry, rmp.initialised);
  if (!entry.assigned || !entry.pageSize2M) {
    return failInstruction(PSMASH_NOT_2M, { spa, state, size: entry.pageSize2M ? '2M' : '4K' });
  }
  if (entry.immutable) return failInstruction(PSMASH_IMMUTABLE, { spa, state });
  if (entry.lock) return failInstruction(PSMASH_LOCKED, { spa });
  return undefined;
}

/**
 * PSMASH: one 2 MiB RMP page becomes 512 pages of 4 KiB with consecutive guest addresses and the same owner,
 * validation and permissions. Yields 512 changes.
 */
export function* psmash(machine: RmpMachine, head: Pfn): Op<InstructionResult> {
  return yield* inFrame(
    machine.stack,
    'hardware',
    'PSMASH',
    { args: { spa: hex(spaOf(head)) } },
    function* () {
      const refused = refusal(machine, head);
      if (refused) return refused;
      const entry = { ...readEntry(machine.rmp, head), pageSize2M: false };
      for (let i = 0; i < PAGES_PER_2M; i++) {
        const page = { ...entry, gpa: gpa(entry.gpa + i * PAGE_SIZE) };
        yield rmpEvent(machine.stack, 'PSMASH', writeEntry(machine.rmp, pfn(head + i), page));
      }
      return INSTRUCTION_SUCCESS;
    },
    describeInstruction,
  );
}
