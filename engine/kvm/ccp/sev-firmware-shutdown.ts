import { snpDfFlush } from '../../asp/commands/snp-df-flush.js';
import { snpShutdownEx } from '../../asp/commands/snp-shutdown.js';
import { wbinvdOnAllCores } from '../../asp/state.js';
import { defineFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { errno } from '../../spec/errno.js';
import { FIRMWARE_STATUS } from '../../spec/firmware-status.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { DONE, type IoctlResult, inKernel } from '../result.js';
import { sevDoCmd } from '../sev-issue-cmd.js';

export const SNP_SHUTDOWN_FAILED = defineFault<{ command: string; guests: number; when: string }>({
  check: 'kvm-snp-shutdown',
  layer: 'kvm',
  command: '__sev_snp_shutdown_locked',
  code: errno('EIO'),
  title: 'SNP firmware cannot be shut down',
  message: (o) => `${o.command} failed at ${o.when}; ${o.guests} guest contexts are alive.`,
  why: 'SNP_SHUTDOWN_EX ends SNP for the kernel that comes next. While guests have their contexts the firmware refuses it, and what belongs to them stays theirs: the next kernel reads it as ciphertext and takes #PF when it writes there. The cover letter of the series names kdump with running guests as a known issue.',
  hint: 'End all SNP guests before kexec. For kdump nothing helps but a crash kernel in memory that was set aside for it.',
  reference: 'Linux drivers/crypto/ccp/sev-dev.c __sev_snp_shutdown_locked(), snp_shutdown_on_panic()',
  confirmed: true,
});

/**
 * sev_firmware_shutdown(): when the ccp module goes, at kexec and from the panic notifier. WBINVD, SNP_SHUTDOWN_EX, and
 * once more after SNP_DF_FLUSH if the firmware asks for that. Linux drivers/crypto/ccp/sev-dev.c.
 */
export function sevFirmwareShutdown(machine: Machine, when: 'module exit' | 'kexec' | 'panic'): Op<IoctlResult> {
  return inKernel(machine, 'sev_firmware_shutdown', { when }, function* () {
    const { asp, stack } = machine;
    if (asp.platform !== 'INIT') return DONE;
    const operands = { guests: asp.guests.size, when };
    const shutdown = () =>
      sevDoCmd(snpShutdownEx(machine), SNP_SHUTDOWN_FAILED, { ...operands, command: 'SNP_SHUTDOWN_EX' });
    wbinvdOnAllCores(asp);
    let done = yield* shutdown();
    if (done.fwError === FIRMWARE_STATUS.DFFLUSH_REQUIRED) {
      const command = 'SNP_DF_FLUSH';
      const flushed = yield* sevDoCmd(snpDfFlush(machine), SNP_SHUTDOWN_FAILED, { ...operands, command });
      if (flushed.fault) {
        yield logEvent(stack, 'kvm', 'ccp: SEV-SNP DF_FLUSH failed');
        return flushed;
      }
      done = yield* shutdown();
    }
    yield logEvent(
      stack,
      'kvm',
      done.fault ? 'ccp: SEV-SNP firmware shutdown failed' : 'ccp: SEV-SNP firmware shutdown successful',
    );
    return done;
  });
}
