import { hex, pfnOf, type Spa } from '../../address.js';
import { ZERO_PAGE } from '../../memory/page-bytes.js';
import { writePage } from '../../memory/system-memory.js';
import { readEntry, writeEntry } from '../../rmp/table.js';
import { type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, SUCCESS } from '../command.js';
import { findGuest } from '../common-checks.js';

const NAME = 'SNP_DECOMMISSION';

/**
 * SNP_DECOMMISSION (0x090), in any guest state: the ASID is deactivated, the context wiped, its page goes back
 * from Context to Firmware. Guest pages keep their RMP entries and stay encrypted. AMD pub. 56860,
 * SNP_DECOMMISSION.
 */
export function snpDecommission(machine: FirmwareMachine, params: { readonly gctx: Spa }): Op<FirmwareResult> {
  return inCommand(machine, NAME, { args: { gctx: hex(params.gctx) } }, function* () {
    const found = findGuest(machine, NAME, params.gctx);
    if ('refusal' in found) return found.refusal;
    const { asp, rmp, memory, stack } = machine;
    const { guest } = found;
    if (guest.asid !== 0) {
      asp.activeAsids.delete(guest.asid);
      asp.asidsToFlush.add(guest.asid);
      asp.wbinvdRequired = true;
    }
    asp.guests.delete(guest.address);
    const frame = pfnOf(guest.address);
    writePage(memory, frame, ZERO_PAGE);
    yield rmpEvent(stack, NAME, writeEntry(rmp, frame, { ...readEntry(rmp, frame), vmsa: false }));
    return SUCCESS;
  });
}
