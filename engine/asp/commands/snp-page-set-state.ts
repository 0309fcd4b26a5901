import { hex, PAGE_SIZE, PAGE_SIZE_2M, PAGES_PER_2M, pfnOf, type Spa, spa } from '../../address.js';
import { defineFault } from '../../fault.js';
import { HYPERVISOR_ENTRY } from '../../rmp/entry.js';
import { fillEntries } from '../../rmp/table.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { lengthRefusal } from '../command-checks.js';
import { needInit } from '../common-checks.js';
import { pageOf, stateRefusal } from '../page-checks.js';
import type { FixedRange } from './snp-init.js';

const NAME = 'SNP_PAGE_SET_STATE';
export const PAGE_SET_STATE_SIZE = 0x10;

export interface PageSetStateParams {
  readonly length?: number;
  /** The list that LIST_PADDR names. */
  readonly ranges: readonly FixedRange[];
}

export const SET_STATE_RANGE = defineFault<{ base: string; pages: number; memory: string }>({
  check: 'fw-page-set-state-range',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_ADDRESS'),
  title: 'Range is not made of 2 MiB regions',
  message: (o) =>
    `The range of ${o.pages} pages at ${o.base} is empty, is not aligned to 2 MiB at both ends, or exceeds the memory that the RMP covers (${o.memory}).`,
  why: 'The state is set for whole 2 MiB regions, so that the host can keep mapping them with large pages.',
  hint: 'Align base and length to 2 MiB.',
  reference: 'AMD pub. 56860, SNP_PAGE_SET_STATE; Linux drivers/crypto/ccp/sfs.c',
  confirmed: false,
});

function rangeRefusal(machine: FirmwareMachine, { base, pages }: FixedRange): FirmwareResult | undefined {
  const { rmp } = machine;
  const end = pfnOf(base) + pages;
  if (base < 0 || base % PAGE_SIZE_2M !== 0 || pages < 1 || pages % PAGES_PER_2M !== 0 || end > rmp.coveredPages) {
    return refuse(SET_STATE_RANGE, { base: hex(base), pages, memory: hex(rmp.coveredPages * PAGE_SIZE) });
  }
  for (let i = 0; i < pages; i++) {
    const page: Spa = spa(base + i * PAGE_SIZE);
    const wrong = stateRefusal(pageOf(machine, { field: 'the page at', page, size2M: false }), NAME, ['Firmware']);
    if (wrong) return wrong;
  }
  return undefined;
}

/**
 * SNP_PAGE_SET_STATE (0x0C6): Firmware pages become memory of the host that can never be assigned, until reset;
 * Firmware → HV-Fixed. The layout of its buffer is not confirmed. AMD pub. 56860, SNP_PAGE_SET_STATE.
 */
export function snpPageSetState(machine: FirmwareMachine, params: PageSetStateParams): Op<FirmwareResult> {
  return inCommand(machine, NAME, { args: { ranges: params.ranges.length } }, function* () {
    const early = needInit(machine, NAME) ?? lengthRefusal(params.length, PAGE_SET_STATE_SIZE, NAME);
    if (early) return early;
    for (const range of params.ranges) {
      const wrong = rangeRefusal(machine, range);
      if (wrong) return wrong;
    }
    for (const { base, pages } of params.ranges) {
      fillEntries(machine.rmp, pfnOf(base), pages, { ...HYPERVISOR_ENTRY, immutable: true });
      yield logEvent(machine.stack, 'firmware', `${pages} pages at ${hex(base)} are HV-Fixed until reset`);
    }
    return SUCCESS;
  });
}
