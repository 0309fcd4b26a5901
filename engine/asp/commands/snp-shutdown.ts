import { defineFault } from '../../fault.js';
import { HYPERVISOR_ENTRY } from '../../rmp/entry.js';
import { readEntry, writeEntry } from '../../rmp/table.js';
import { logEvent, type Op, rmpEvent } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { lengthRefusal } from '../command-checks.js';
import { needInit } from '../common-checks.js';
import { currentFirmware, firmwareFeatures } from '../platform-firmware.js';

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

export const SHUTDOWN_X86 = defineFault<{ abi: string }>({
  check: 'fw-shutdown-x86-unsupported',
  layer: 'firmware',
  command: 'SNP_SHUTDOWN_EX',
  code: status('INVALID_PARAM'),
  title: 'X86_SNP_SHUTDOWN not supported',
  message: (o) => `X86_SNP_SHUTDOWN is set, but firmware ABI ${o.abi} does not have it.`,
  why: 'The flag switches SNP off on the processors, too, so that the next kernel finds memory without RMP checks. SNP_FEATURE_INFO tells whether the firmware can do that.',
  hint: 'Leave the flag out; the RMP then stays in force until reset.',
  reference: SHUTDOWN_EX,
  confirmed: false,
});

export const SHUTDOWN_EX_SIZE = 8;

export interface ShutdownExParams {
  readonly length?: number;
  /** IOMMU_SNP_SHUTDOWN: the IOMMUs stop checking the RMP and their buffers come back. Linux always sets it. */
  readonly iommuShutdown?: boolean;
  /** X86_SNP_SHUTDOWN: SNP is switched off on the processors. */
  readonly x86Shutdown?: boolean;
}

function refusal(machine: FirmwareMachine, params: ShutdownExParams, name: string): FirmwareResult | undefined {
  const { asp } = machine;
  const early = needInit(machine, name) ?? lengthRefusal(params.length, SHUTDOWN_EX_SIZE, name);
  if (early) return early;
  const firmware = currentFirmware(machine);
  if (params.x86Shutdown && !firmwareFeatures(firmware).x86SnpShutdown) {
    return refuse(SHUTDOWN_X86, { abi: `${firmware.major}.${firmware.minor}` });
  }
  if (asp.guests.size > 0) return refuse(SHUTDOWN_GUESTS, { guests: asp.guests.size });
  if (asp.asidsToFlush.size > 0 || asp.flushAfterInit) {
    return asp.wbinvdRequired ? refuse(SHUTDOWN_WBINVD, {}) : refuse(SHUTDOWN_DF_FLUSH, {});
  }
  return undefined;
}

/** Firmware before 1.53 makes the pages Hypervisor; that it also miscounted sub-pages is not emulated. */
function* releaseIommuPages(machine: FirmwareMachine, name: string): Op<void> {
  const { asp, rmp, stack } = machine;
  const toReclaim = firmwareFeatures(currentFirmware(machine)).iommuPagesToReclaim;
  for (const page of asp.iommuPages) {
    const after = toReclaim ? { ...readEntry(rmp, page), immutable: false } : HYPERVISOR_ENTRY;
    yield rmpEvent(stack, name, writeEntry(rmp, page, after));
  }
}

/**
 * SNP_SHUTDOWN_EX, without parameters also SNP_SHUTDOWN. The RMP stays initialised and in force, and SYSCFG as it is,
 * unless X86_SNP_SHUTDOWN asks for more.
 */
export function snpShutdownEx(machine: FirmwareMachine, params: ShutdownExParams = {}): Op<FirmwareResult> {
  const name = 'SNP_SHUTDOWN_EX';
  const args = { iommu: params.iommuShutdown ?? false, x86: params.x86Shutdown ?? false };
  return inCommand(machine, name, { args }, function* () {
    const wrong = refusal(machine, params, name);
    if (wrong) return wrong;
    const { asp, rmp, stack } = machine;
    if (params.iommuShutdown) yield* releaseIommuPages(machine, name);
    if (params.x86Shutdown) {
      // What becomes of the table is not confirmed: here all its pages are Default, as after reset.
      rmp.chunks.clear();
      rmp.shared.clear();
      rmp.changedAt.clear();
      rmp.initialised = false;
      rmp.revision++;
      yield logEvent(stack, 'firmware', 'SNP is off on all processors: the RMP is no longer in force');
    }
    asp.platform = 'UNINIT';
    return SUCCESS;
  });
}
