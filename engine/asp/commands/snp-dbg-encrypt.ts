import type { Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, SUCCESS } from '../command.js';
import { type DbgParams, dbgAllowed, dbgArgs } from '../dbg-checks.js';
import { ownerRefusal, pageOf, stateRefusal } from '../page-checks.js';
import { readRegion, writeRegion } from '../page-region.js';

const NAME = 'SNP_DBG_ENCRYPT';

/** SNP_DBG_ENCRYPT (0x0B1), one 4 KiB page: contents of any page into a guest page that the guest cannot use meanwhile. */
export function snpDbgEncrypt(machine: FirmwareMachine, params: DbgParams): Op<FirmwareResult> {
  // biome-ignore lint/correctness/useYield: the command has no events of its own.
  return inCommand(machine, NAME, { args: dbgArgs(params) }, function* () {
    const found = dbgAllowed(machine, NAME, params);
    if ('refusal' in found) return found.refusal;
    const { guest } = found;
    const src = pageOf(machine, { field: 'SRC_PADDR', page: params.src, size2M: false });
    const dst = pageOf(machine, { field: 'DST_PADDR', page: params.dst, size2M: false });
    const wrong = stateRefusal(dst, NAME, ['Pre-Guest', 'Pre-Swap']) ?? ownerRefusal(dst, guest, NAME);
    if (wrong) return wrong;
    writeRegion(machine.memory, dst.frame, readRegion(machine.memory, src.frame, 1, 0), guest.vek);
    return SUCCESS;
  });
}
