import { PAGES_PER_2M, type Pfn, pfn, pfnOf } from '../address.js';
import type { Machine } from '../machine.js';
import { pageState } from '../rmp/page-state.js';
import { effectiveEntry } from '../rmp/table.js';
import { inFrame, logEvent, type Op } from '../timeline/event.js';
import { sevFirmwareShutdown } from './ccp/sev-firmware-shutdown.js';
import { hostBoot } from './host-boot.js';
import { type IoctlResult, refused } from './result.js';

/** What the next kernel finds. */
export interface NextKernel {
  /** Of SNP_SHUTDOWN_EX. */
  readonly shutdown: IoctlResult;
  /** Pages that belong to guests or to the firmware still: nobody takes them back before the next reset. */
  readonly assigned: readonly Pfn[];
  /** Boot of the new kernel; not for a crash kernel, which does not initialise SNP. */
  readonly boot?: IoctlResult;
}

/**
 * kexec into a new kernel: the firmware is shut down, everything that the old kernel knew is forgotten, and the new one
 * boots. SYSCFG.SNP_EN is set already, so that it takes the RMP over as it is (Linux arch/x86/virt/svm/sev.c
 * snp_rmptable_init()): entries of guests that nobody ended stay, until SNP_INIT_EX builds the table anew.
 */
export function hostKexec(machine: Machine): Op<NextKernel> {
  return inFrame(
    machine.stack,
    'kvm',
    'kernel_kexec',
    { args: { vms: machine.kvm.vms.size } },
    function* () {
      const shutdown = yield* sevFirmwareShutdown(machine, 'kexec');
      forgetAll(machine);
      const assigned = assignedPages(machine);
      yield logEvent(machine.stack, 'kvm', `kexec: the RMP is kept; ${assigned.length} pages are assigned`);
      const boot = yield* hostBoot(machine);
      return { shutdown, assigned: assignedPages(machine), boot };
    },
    describe,
  );
}

/**
 * A panic with a crash kernel loaded (crash_kexec_post_notifiers is on for SNP hosts): the notifier shuts SNP down, and
 * the crash kernel reads the memory of the old one. With guests alive that fails.
 */
export function hostPanic(machine: Machine): Op<NextKernel> {
  return inFrame(
    machine.stack,
    'kvm',
    'panic',
    { args: { vms: machine.kvm.vms.size } },
    function* () {
      const shutdown = yield* sevFirmwareShutdown(machine, 'panic');
      forgetAll(machine);
      return { shutdown, assigned: assignedPages(machine) };
    },
    describe,
  );
}

function describe({ shutdown, assigned, boot }: NextKernel) {
  const fault = shutdown.fault ?? boot?.fault;
  const result = `${assigned.length} pages stay assigned`;
  return fault ? { result, fault } : { result };
}

/** The memory of the old kernel: VMs, ASIDs, descriptors, the list of leaked pages. */
function forgetAll({ kvm }: Machine): void {
  kvm.vms.clear();
  kvm.asids.clear();
  kvm.asidsToReclaim.clear();
  kvm.sevFds.clear();
  kvm.sevReadOnlyFds.clear();
  kvm.leaked.length = 0;
  kvm.snpEnabled = false;
  kvm.hostFault = undefined;
}

/** Assigned pages outside of the RMP itself. */
export function assignedPages({ rmp }: Machine): Pfn[] {
  const [first, last] = [pfnOf(rmp.base), pfnOf(rmp.end)];
  const pages: Pfn[] = [];
  for (const index of [...rmp.chunks.keys()].sort((a, b) => a - b)) {
    for (let i = 0; i < PAGES_PER_2M; i++) {
      const frame = pfn(index * PAGES_PER_2M + i);
      if (frame >= first && frame <= last) continue;
      const state = pageState(effectiveEntry(rmp, frame), rmp.initialised);
      if (state !== 'Hypervisor' && state !== 'HV-Fixed' && state !== 'Default') pages.push(frame);
    }
  }
  return pages;
}

/** rmmod ccp, after kvm_amd is gone: the same shutdown, and this kernel goes on without SNP. */
export function* hostModuleExit(machine: Machine): Op<IoctlResult> {
  const shutdown = yield* sevFirmwareShutdown(machine, 'module exit');
  if (shutdown.fault) return refused(shutdown.fault, shutdown.fwError);
  machine.kvm.snpEnabled = false;
  return shutdown;
}
