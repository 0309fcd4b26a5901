import { hex, PAGE_SIZE, PAGE_SIZE_2M, PAGES_PER_2M, type Pfn, pfn, pfnOf, type Spa, spaOf } from '../../address.js';
import { defineFault } from '../../fault.js';
import { HYPERVISOR_ENTRY, type RmpEntry } from '../../rmp/entry.js';
import { pageState } from '../../rmp/page-state.js';
import { readEntry, writeEntry } from '../../rmp/table.js';
import { type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { addressRefusal, needInit } from '../common-checks.js';
import { PAGE_OWNER, pageOf, sizeRefusal, stateRefusal } from '../page-checks.js';

const NAME = 'SNP_PAGE_UNSMASH';
const UNSMASH = 'AMD pub. 56860, SNP_PAGE_UNSMASH';

export interface PageUnsmashParams {
  /** First byte of a 2 MiB region. */
  readonly page: Spa;
}

export const UNSMASH_STATES = defineFault<{ page: string; state: string; head: string }>({
  check: 'fw-page-unsmash-states',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PAGE_STATE'),
  title: 'Pages of the region are in different states',
  message: (o) => `The page at ${o.page} is ${o.state}, the first page of the region is ${o.head}.`,
  why: 'One entry of 2 MiB has one Validated bit and one Immutable bit for all its 512 pages.',
  hint: 'Bring all 512 pages into the same state first: Pre-Guest or Pre-Swap.',
  reference: UNSMASH,
  confirmed: false,
});

export const UNSMASH_GPA = defineFault<{ page: string; gpa: string; expected: string }>({
  check: 'fw-page-unsmash-gpa',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_ADDRESS'),
  title: 'Guest addresses of the region are not in a row',
  message: (o) => `The page at ${o.page} has GPA ${o.gpa}; in a 2 MiB page it would have ${o.expected}.`,
  why: 'One entry of 2 MiB has one guest physical address, aligned to 2 MiB, and the pages follow it in order.',
  hint: 'Join only regions that PSMASH split, or that back 2 MiB of the guest in order.',
  reference: UNSMASH,
  confirmed: false,
});

export const UNSMASH_ATTRIBUTES = defineFault<{ page: string; attribute: string }>({
  check: 'fw-page-unsmash-attributes',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Pages of the region have different attributes',
  message: (o) => `The ${o.attribute} of the page at ${o.page} keeps the region from becoming one page.`,
  why: 'One entry of 2 MiB has one set of VMPL masks, and a VMSA is always a 4 KiB page.',
  hint: 'Let the guest set the same permissions for all 512 pages with RMPADJUST.',
  reference: UNSMASH,
  confirmed: false,
});

function differs(head: RmpEntry, entry: RmpEntry, frame: Pfn, index: number): FirmwareResult | undefined {
  const page = hex(spaOf(frame));
  const state = pageState(entry);
  if (state !== pageState(head)) return refuse(UNSMASH_STATES, { page, state, head: pageState(head) });
  if (entry.asid !== head.asid) {
    const operands = {
      field: 'the page at',
      page,
      owner: `ASID ${entry.asid}`,
      guest: `the region of ASID ${head.asid}`,
    };
    return refuse(PAGE_OWNER, operands, NAME);
  }
  const aligned = head.gpa - (head.gpa % PAGE_SIZE_2M);
  const expected = aligned + index * PAGE_SIZE;
  if (entry.gpa !== expected) return refuse(UNSMASH_GPA, { page, gpa: hex(entry.gpa), expected: hex(expected) });
  if (entry.vmsa) return refuse(UNSMASH_ATTRIBUTES, { page, attribute: 'VMSA bit' });
  const level = entry.vmpl.findIndex((mask, i) => mask !== head.vmpl[i]);
  return level < 0 ? undefined : refuse(UNSMASH_ATTRIBUTES, { page, attribute: `VMPL${level} mask` });
}

function refusal(machine: FirmwareMachine, page: Spa): FirmwareResult | undefined {
  const early = needInit(machine, NAME) ?? addressRefusal(machine, NAME, 'PAGE_PADDR', page, true);
  if (early) return early;
  const found = pageOf(machine, { field: 'PAGE_PADDR', page, size2M: false });
  const wrong = sizeRefusal(found, NAME) ?? stateRefusal(found, NAME, ['Pre-Guest', 'Pre-Swap']);
  if (wrong) return wrong;
  for (let i = 0; i < PAGES_PER_2M; i++) {
    const frame = pfn(found.frame + i);
    const different = differs(found.entry, readEntry(machine.rmp, frame), frame, i);
    if (different) return different;
  }
  return undefined;
}

/**
 * SNP_PAGE_UNSMASH (0x0C8): 512 pages of a guest become one 2 MiB page, which PSMASH undoes. Yields the changes of the
 * table. AMD pub. 56860, SNP_PAGE_UNSMASH.
 */
export function snpPageUnsmash(machine: FirmwareMachine, params: PageUnsmashParams): Op<FirmwareResult> {
  return inCommand(machine, NAME, { args: { page: hex(params.page) } }, function* () {
    const wrong = refusal(machine, params.page);
    if (wrong) return wrong;
    const { rmp, stack } = machine;
    const first = pfnOf(params.page);
    const head = readEntry(rmp, first);
    for (let i = PAGES_PER_2M - 1; i > 0; i--) {
      yield rmpEvent(stack, NAME, writeEntry(rmp, pfn(first + i), HYPERVISOR_ENTRY));
    }
    yield rmpEvent(stack, NAME, writeEntry(rmp, first, { ...head, pageSize2M: true }));
    return SUCCESS;
  });
}
