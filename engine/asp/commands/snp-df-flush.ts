import { defineFault } from '../../fault.js';
import type { Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { needInit } from '../common-checks.js';

export const DF_FLUSH_WBINVD = defineFault({
  check: 'fw-df-flush-wbinvd',
  layer: 'firmware',
  command: 'SNP_DF_FLUSH',
  code: status('WBINVD_REQUIRED'),
  title: 'Caches not written back',
  message: () => 'Not every core has executed WBINVD since SNP_INIT or since a guest was deactivated.',
  why: 'The data fabric can only be flushed of what the caches have already written back.',
  hint: 'Execute WBINVD on all cores, then repeat the command.',
  reference: 'AMD pub. 56860, SNP_DF_FLUSH',
  confirmed: true,
});

/** SNP_DF_FLUSH (0x084): frees the ASIDs of deactivated guests. AMD pub. 56860, SNP_DF_FLUSH. */
export function snpDfFlush(machine: FirmwareMachine): Op<FirmwareResult> {
  const name = 'SNP_DF_FLUSH';
  // biome-ignore lint/correctness/useYield: the command has no events of its own.
  return inCommand(machine, name, {}, function* () {
    const { asp } = machine;
    const notReady = needInit(machine, name);
    if (notReady) return notReady;
    if (asp.wbinvdRequired) return refuse(DF_FLUSH_WBINVD, {});
    asp.asidsToFlush.clear();
    asp.flushAfterInit = false;
    return SUCCESS;
  });
}
