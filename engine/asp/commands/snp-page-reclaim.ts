import { hex, type Pfn, pfnOf, type Spa } from '../../address.js';
import { defineFault } from '../../fault.js';
import type { RmpEntry } from '../../rmp/entry.js';
import { pageState } from '../../rmp/page-state.js';
import { readEntry, writeEntry } from '../../rmp/table.js';
import { type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { addressRefusal, entryAt, needInit } from '../common-checks.js';

const NAME = 'SNP_PAGE_RECLAIM';
const RECLAIM = 'AMD pub. 56860, SNP_PAGE_RECLAIM';

export interface PageReclaimParams {
  readonly page: Spa;
  readonly pageSize2M: boolean;
}

export const RECLAIM_SIZE = defineFault<{ page: string; size: string; entry: string }>({
  check: 'fw-page-reclaim-size',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PAGE_SIZE'),
  title: 'Page size differs from the RMP entry',
  message: (o) => `The command names a ${o.size} page at ${o.page}, but its RMP entry is ${o.entry}.`,
  why: 'A page is reclaimed as a whole; a part of a 2 MiB page cannot change its state alone.',
  hint: 'Pass the page size of the RMP entry.',
  reference: RECLAIM,
  confirmed: true,
});

export const RECLAIM_STATE = defineFault<{ page: string; state: string }>({
  check: 'fw-page-reclaim-state',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PAGE_STATE'),
  title: 'Page cannot be reclaimed in this state',
  message: (o) =>
    `The page at ${o.page} is in state ${o.state}; only Metadata, Firmware, Pre-Guest and Pre-Swap pages can be reclaimed.`,
  why: 'Reclaiming gives back a page that the firmware holds. A Hypervisor or Guest page is not held, a Context page is still in use.',
  hint: 'Leave Hypervisor and Reclaim pages as they are, take Guest pages back with RMPUPDATE, and for a Context page run SNP_DECOMMISSION first.',
  reference: RECLAIM,
  confirmed: true,
});

export const RECLAIM_RMP = defineFault<{ page: string }>({
  check: 'fw-page-reclaim-rmp',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PAGE_STATE'),
  title: 'Page belongs to the RMP',
  message: (o) => `The page at ${o.page} is part of the RMP itself.`,
  why: 'Whoever can write the RMP owns every guest. Its pages never leave the firmware.',
  hint: 'Reclaim only pages that the host gave to the firmware.',
  reference: RECLAIM,
  confirmed: false,
});

/** The entry after reclaiming, or undefined if the state does not allow it. */
function reclaimed(entry: RmpEntry): RmpEntry | undefined {
  const state = pageState(entry);
  switch (state) {
    case 'Firmware':
    case 'Metadata':
    case 'Pre-Guest':
    case 'Pre-Swap':
      // Assigned with ASID 0 and mutable is Reclaim; with an ASID it is Guest-Invalid or Guest-Valid.
      return { ...entry, immutable: false, lock: false };
    case 'Default':
    case 'Hypervisor':
    case 'HV-Fixed':
    case 'Reclaim':
    case 'Context':
    case 'Guest-Invalid':
    case 'Guest-Valid':
      return undefined;
  }
}

/** SNP_PAGE_RECLAIM (0x0C7). AMD pub. 56860, SNP_PAGE_RECLAIM. */
export function snpPageReclaim(machine: FirmwareMachine, params: PageReclaimParams): Op<FirmwareResult> {
  const size = params.pageSize2M ? '2M' : '4K';
  const page = hex(params.page);
  return inCommand(machine, NAME, { args: { page, size } }, function* () {
    const { rmp, stack } = machine;
    const wrong =
      needInit(machine, NAME) ?? addressRefusal(machine, NAME, 'PAGE_PADDR', params.page, params.pageSize2M);
    if (wrong) return wrong;
    const frame: Pfn = pfnOf(params.page);
    const entry = entryAt(machine, frame);
    if (entry.pageSize2M !== params.pageSize2M) {
      return refuse(RECLAIM_SIZE, { page, size, entry: entry.pageSize2M ? '2M' : '4K' });
    }
    const after = reclaimed(entry);
    if (!after) return refuse(RECLAIM_STATE, { page, state: pageState(entry, rmp.initialised) });
    if (entry.lock && pageState(entry) === 'Firmware') return refuse(RECLAIM_RMP, { page });
    yield rmpEvent(stack, NAME, writeEntry(rmp, frame, { ...after, subPageCount: readEntry(rmp, frame).subPageCount }));
    return SUCCESS;
  });
}
