import { gpa, hex, type Spa } from '../../address.js';
import { ZERO_PAGE } from '../../memory/page-bytes.js';
import { writePage } from '../../memory/system-memory.js';
import { writeEntry } from '../../rmp/table.js';
import { type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, SUCCESS } from '../command.js';
import { findGuest } from '../common-checks.js';
import { operandRefusal, pageOf, sizeRefusal, stateRefusal } from '../page-checks.js';

const NAME = 'SNP_PAGE_MD_INIT';

export interface PageMdInitParams {
  readonly gctx: Spa;
  readonly page: Spa;
}

/**
 * SNP_PAGE_MD_INIT (0x0C3): makes a page of 64 free metadata entries for the guest; Firmware → Metadata. Which guest
 * states it takes is not confirmed. AMD pub. 56860, SNP_PAGE_MD_INIT.
 */
export function snpPageMdInit(machine: FirmwareMachine, params: PageMdInitParams): Op<FirmwareResult> {
  const args = { gctx: hex(params.gctx), page: hex(params.page) };
  return inCommand(machine, NAME, { args }, function* () {
    const found = findGuest(machine, NAME, params.gctx, ['LAUNCH', 'RUNNING']);
    if ('refusal' in found) return found.refusal;
    const operand = { field: 'PAGE_PADDR', page: params.page, size2M: false };
    const wrongAddress = operandRefusal(machine, NAME, operand);
    if (wrongAddress) return wrongAddress;
    const page = pageOf(machine, operand);
    const wrong = stateRefusal(page, NAME, ['Firmware']) ?? sizeRefusal(page, NAME);
    if (wrong) return wrong;
    writePage(machine.memory, page.frame, ZERO_PAGE);
    // The owner's tag: the address of its context, where other pages have a GPA.
    const owned = { ...page.entry, gpa: gpa(found.guest.address) };
    yield rmpEvent(machine.stack, NAME, writeEntry(machine.rmp, page.frame, owned));
    return SUCCESS;
  });
}
