import { defineFault } from '../../fault.js';
import type { Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { needInit } from '../common-checks.js';

/** SNP_SHUTDOWN (0x082) and SNP_SHUTDOWN_EX (0x086). AMD pub. 56860, SNP_SHUTDOWN_EX. */

const SHUTDOWN_EX = 'AMD pub. 56860, SNP_SHUTDOWN_EX';

export const SHUTDOWN_GUESTS = defineFault<{ guests: number }>({
  check: 'fw-shutdown-guests',
  layer: 'firmware',
  command: 'SNP_SHUTDOWN_EX',
  code: status('INVALID_PLATFORM_STATE'),
  title: 'Guests are still alive',
  message: (o) => `${o.guests} guest context(s) have not been decommissioned.`,
  why: 'Shutting down forgets all guest contexts, and with them the keys of running guests.',
  hint: 'Destroy all guests first: SNP_DECOMMISSION for each context.',
  reference: SHUTDOWN_EX,
  confirmed: false,
});

export const SHUTDOWN_WBINVD = defineFault({
  check: 'fw-shutdown-wbinvd',
  layer: 'firmware',
  command: 'SNP_SHUTDOWN_EX',
  code: status('WBINVD_REQUIRED'),
  title: 'Caches not written back',
  message: () => 'Not every core has executed WBINVD since a guest was deactivated.',
  why: 'A cache may still hold lines of the guest under its key; they must reach memory before the key is gone.',
  hint: 'Execute WBINVD on all cores, then SNP_DF_FLUSH, and repeat the command.',
  reference: `${SHUTDOWN_EX}; Linux drivers/crypto/ccp/sev-dev.c __sev_snp_shutdown_locked()`,
  confirmed: false,
});

export const SHUTDOWN_DF_FLUSH = defineFault({
  check: 'fw-shutdown-df-flush',
  layer: 'firmware',
  command: 'SNP_SHUTDOWN_EX',
  code: status('DFFLUSH_REQUIRED'),
  title: 'Data fabric not flushed',
  message: () => 'SNP_DF_FLUSH has not run since a guest was deactivated.',
  why: 'The write buffers of the data fabric may still hold lines of the guest.',
  hint: 'Execute SNP_DF_FLUSH and repeat the command, as Linux does.',
  reference: `${SHUTDOWN_EX}; Linux drivers/crypto/ccp/sev-dev.c __sev_snp_shutdown_locked()`,
  confirmed: true,
});

/** SNP_SHUTDOWN_EX, also for SNP_SHUTDOWN. The RMP stays initialised, and SYSCFG as it is. */
export function snpShutdownEx(machine: FirmwareMachine): Op<FirmwareResult> {
  const name = 'SNP_SHUTDOWN_EX';
  // biome-ignore lint/correctness/useYield: the command has no events of its own.
  return inCommand(machine, name, {}, function* () {
    const { asp } = machine;
    const notReady = needInit(machine, name);
    if (notReady) return notReady;
    if (asp.guests.size > 0) return refuse(SHUTDOWN_GUESTS, { guests: asp.guests.size });
    if (asp.asidsToFlush.size > 0 || asp.flushAfterInit) {
      return asp.wbinvdRequired ? refuse(SHUTDOWN_WBINVD, {}) : refuse(SHUTDOWN_DF_FLUSH, {});
    }
    asp.platform = 'UNINIT';
    return SUCCESS;
  });
}
