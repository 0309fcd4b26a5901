import { logEvent, type Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, SUCCESS } from '../command.js';
import { lengthRefusal } from '../command-checks.js';
import { formatRevision, installedFirmware } from '../platform-firmware.js';

const NAME = 'SNP_COMMIT';
export const COMMIT_SIZE = 4;

export interface CommitParams {
  readonly length?: number;
}

/**
 * SNP_COMMIT (0x0CB), in any platform state (U): the running firmware becomes the floor, and the reported TCB follows
 * it. AMD pub. 56860, SNP_COMMIT; Linux Documentation/virt/coco/sev-guest.rst.
 */
export function snpCommit(machine: FirmwareMachine, params: CommitParams = {}): Op<FirmwareResult> {
  return inCommand(machine, NAME, {}, function* () {
    const wrong = lengthRefusal(params.length, COMMIT_SIZE, NAME);
    if (wrong) return wrong;
    const { asp, stack } = machine;
    const { current } = installedFirmware(machine);
    asp.firmware = { current, committed: current };
    asp.config = { maskChipId: asp.config.maskChipId, maskChipKey: asp.config.maskChipKey };
    yield logEvent(stack, 'firmware', `firmware ${formatRevision(current)} committed: nothing older can be installed`);
    return SUCCESS;
  });
}
