import { type Gpa, hex, type Pfn, spaOf } from '../address.js';
import { snpPageReclaim } from '../asp/commands/snp-page-reclaim.js';
import { defineFault, type Fault } from '../fault.js';
import type { Machine } from '../machine.js';
import type { RmpEntry } from '../rmp/entry.js';
import { INSTRUCTION_CODE, instructionCodeName } from '../rmp/instruction.js';
import { type RmpState, rmpUpdate, SHARED } from '../rmp/rmpupdate.js';
import { effectiveEntry, headOf, isCovered, readEntry } from '../rmp/table.js';
import { errno } from '../spec/errno.js';
import { logEvent, type Op } from '../timeline/event.js';
import { DONE, type IoctlResult, refuse } from './result.js';
import { sevDoCmd } from './sev-issue-cmd.js';

/** Helpers around the RMP. Linux arch/x86/virt/svm/sev.c, arch/x86/kvm/svm/sev.c. */

const REFERENCE = 'Linux arch/x86/virt/svm/sev.c';

export const RMP_NO_SNP = defineFault({
  check: 'kvm-rmp-no-snp',
  layer: 'kvm',
  command: 'snp_lookup_rmpentry',
  code: errno('ENODEV'),
  title: 'Host runs without SNP',
  message: () => 'There is no RMP: the host has not enabled SNP.',
  why: 'RMP entries exist only while the host runs with SNP.',
  hint: 'Enable SNP on the host.',
  reference: `${REFERENCE} __snp_lookup_rmpentry()`,
  confirmed: true,
});

export const RMP_LOOKUP = defineFault<{ pfn: string; covered: string }>({
  check: 'kvm-rmp-lookup',
  layer: 'kvm',
  command: 'snp_lookup_rmpentry',
  code: errno('EFAULT'),
  title: 'The RMP does not cover the page',
  message: (o) => `Page frame ${o.pfn} has no RMP entry; the table covers frames below ${o.covered}.`,
  why: 'The BIOS reserves the RMP for a certain amount of memory. Memory beyond it can never become guest memory.',
  hint: 'Let the BIOS reserve an RMP that covers all memory.',
  reference: `${REFERENCE} __snp_lookup_rmpentry()`,
  confirmed: true,
});

export const RMPUPDATE_FAILED = defineFault<{ pfn: string; code: string; assign: boolean }>({
  check: 'kvm-rmpupdate-failed',
  layer: 'kvm',
  command: 'rmpupdate',
  code: errno('EFAULT'),
  title: 'RMPUPDATE failed',
  message: (o) =>
    `RMPUPDATE of page frame ${o.pfn} to ${o.assign ? 'private' : 'shared'} returned ${o.code}, which the kernel turns into -EFAULT.`,
  why: 'RMPUPDATE is how the hypervisor gives a page to a guest or takes it back. Linux prints the RMP entry to the kernel log; with FAIL_OVERLAP it repeats the instruction endlessly.',
  hint: 'See the instruction’s own reason below.',
  reference: `${REFERENCE} rmpupdate()`,
  confirmed: true,
});

export const RECLAIM_FAILED = defineFault<{ pfn: string }>({
  check: 'kvm-page-reclaim',
  layer: 'kvm',
  command: 'snp_page_reclaim',
  code: errno('EIO'),
  title: 'SNP_PAGE_RECLAIM failed',
  message: (o) => `The firmware does not release page frame ${o.pfn}.`,
  why: 'A page in the hands of the firmware has to be released by it before the hypervisor can take it back. Where that fails the kernel leaks the page: nobody may use it until the next boot.',
  hint: 'See the firmware’s own reason below.',
  reference: 'Linux arch/x86/kvm/svm/sev.c snp_page_reclaim()',
  confirmed: true,
});

export type Lookup =
  | { readonly ok: true; readonly assigned: boolean; readonly level2M: boolean; readonly entry: RmpEntry }
  | { readonly ok: false; readonly result: IoctlResult };

/**
 * The level is that of the region's head; a page inside a 2 MiB entry counts as assigned. Linux
 * snp_lookup_rmpentry() reads the page's own entry: what hardware keeps there for a 2 MiB page is not public, but
 * sev_handle_rmp_fault() could not work otherwise.
 */
export function snpLookupRmpentry(machine: Machine, pfn: Pfn): Lookup {
  const { rmp } = machine;
  if (!machine.kvm.snpEnabled) return { ok: false, result: refuse(RMP_NO_SNP, {}) };
  if (!isCovered(rmp, pfn)) {
    return { ok: false, result: refuse(RMP_LOOKUP, { pfn: hex(pfn), covered: hex(rmp.coveredPages) }) };
  }
  const entry = effectiveEntry(rmp, pfn);
  return { ok: true, assigned: entry.assigned, level2M: readEntry(rmp, headOf(pfn)).pageSize2M, entry };
}

/** rmpupdate(): -EFAULT whatever the instruction says. */
function* rmpupdate(machine: Machine, pfn: Pfn, state: RmpState): Op<IoctlResult> {
  const { code, fault } = yield* rmpUpdate(machine, pfn, state);
  if (code === INSTRUCTION_CODE.SUCCESS) return DONE;
  const name = instructionCodeName(code) ?? String(code);
  yield logEvent(
    machine.stack,
    'kvm',
    `RMPUPDATE failed for PFN ${pfn.toString(16)}, pg_level: ${state.pageSize2M ? 2 : 1}, ret: ${code}`,
  );
  return refuse(RMPUPDATE_FAILED, { pfn: hex(pfn), code: name, assign: state.assigned }, { cause: fault });
}

/** rmp_make_private(): the page belongs to `asid` at `gpa`, not validated; immutable while the firmware works on it. */
export function rmpMakePrivate(
  machine: Machine,
  pfn: Pfn,
  gpa: Gpa,
  asid: number,
  immutable: boolean,
  pageSize2M = false,
): Op<IoctlResult> {
  return rmpupdate(machine, pfn, { assigned: true, pageSize2M, immutable, gpa, asid });
}

/** rmp_make_shared(): back to the hypervisor. */
export function rmpMakeShared(machine: Machine, pfn: Pfn, pageSize2M = false): Op<IoctlResult> {
  return rmpupdate(machine, pfn, { ...SHARED, pageSize2M });
}

/** snp_leak_pages(): the page is lost until reboot. */
export function* snpLeakPages(machine: Machine, pfn: Pfn): Op<void> {
  machine.kvm.leaked.push(pfn);
  yield logEvent(machine.stack, 'kvm', `Leaking PFN range 0x${pfn.toString(16)}-0x${(pfn + 1).toString(16)}`);
}

/**
 * snp_page_reclaim() and rmp_make_shared(): takes a page back from the firmware. On failure the page is leaked
 * and the fault returned.
 */
export function* snpReclaimAndShare(machine: Machine, pfn: Pfn): Op<Fault | undefined> {
  const operands = { pfn: hex(pfn) };
  const reclaim = snpPageReclaim(machine, { page: spaOf(pfn), pageSize2M: false });
  const reclaimed = yield* sevDoCmd(reclaim, RECLAIM_FAILED, operands);
  const { fault } = reclaimed.fault ? reclaimed : yield* rmpMakeShared(machine, pfn);
  if (fault) yield* snpLeakPages(machine, pfn);
  return fault;
}

/** Linux rmp_mark_pages_firmware(): the page belongs to the firmware. */
export function rmpMarkPageFirmware(machine: Machine, pfn: Pfn): Op<IoctlResult> {
  return rmpMakePrivate(machine, pfn, 0 as Gpa, 0, true);
}
