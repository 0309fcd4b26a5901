import { snpDfFlush } from '../asp/commands/snp-df-flush.js';
import { wbinvdOnAllCores } from '../asp/state.js';
import { defineFault } from '../fault.js';
import type { Machine } from '../machine.js';
import { errno } from '../spec/errno.js';
import type { Op } from '../timeline/event.js';
import { type IoctlResult, inKernel, refuse } from './result.js';
import { sevDoCmd } from './sev-issue-cmd.js';

export const ASID_NONE = defineFault<{ kind: string; min: number; max: number }>({
  check: 'kvm-asid-none',
  layer: 'kvm',
  command: 'sev_asid_new',
  code: errno('ENOTTY'),
  title: 'No ASIDs for guests of this kind',
  message: (o) => `The range of ASIDs for ${o.kind} guests, ${o.min} to ${o.max}, is empty.`,
  why: 'The BIOS splits the ASIDs between plain SEV and SEV-ES/SNP guests: those below the SEV minimum belong to the latter.',
  hint: 'Change "SEV-ES ASID Space Limit" in the BIOS: it is the lowest ASID of a plain SEV guest.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_asid_new()',
  confirmed: true,
});

export const ASID_BUSY = defineFault<{ kind: string; asids: number }>({
  check: 'kvm-asid-busy',
  layer: 'kvm',
  command: 'sev_asid_new',
  code: errno('EBUSY'),
  title: 'All ASIDs are in use',
  message: (o) => `All ${o.asids} ASIDs for ${o.kind} guests are in use.`,
  why: 'Each guest needs an ASID, which selects its key in the memory controller. ASIDs of ended guests come back after WBINVD on all cores and a flush of the data fabric; there are none.',
  hint: 'End another guest, or change "SEV-ES ASID Space Limit" in the BIOS.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_asid_new()',
  confirmed: true,
});

export const ASID_FLUSH = defineFault({
  check: 'kvm-asid-flush',
  layer: 'kvm',
  command: 'sev_flush_asids',
  code: errno('EBUSY'),
  title: 'ASIDs cannot be recycled',
  message: () => 'The firmware refused to flush the data fabric, so no ASID of an ended guest can be used again.',
  why: 'Cache lines of the old guest would be written back under the key of the new one.',
  hint: 'See the firmware’s own reason below.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_flush_asids(), __sev_recycle_asids()',
  confirmed: true,
});

/** sev_asid_new(): `ret` is the ASID. SEV-ES and SNP guests share one range, `encryptedState`; plain SEV has the other. */
export function* sevAsidNew(machine: Machine, encryptedState: boolean): Op<IoctlResult> {
  const { asids, asidsToReclaim } = machine.kvm;
  const { minSevAsid, maxAsid } = machine.processor;
  const [min, max] = encryptedState ? [1, minSevAsid - 1] : [minSevAsid, maxAsid];
  const kind = encryptedState ? 'SEV-ES and SNP' : 'SEV';
  if (min > max) return refuse(ASID_NONE, { kind, min, max });
  let asid = firstFree(asids, min, max);
  if (asid === undefined && asidsToReclaim.size > 0) {
    const recycled = yield* sevRecycleAsids(machine);
    // sev_flush_asids() prints the firmware's status; kvm_sev_cmd.error does not get it.
    if (recycled.fault) return { ...recycled, fwError: 0 };
    asid = firstFree(asids, min, max);
  }
  if (asid === undefined) return refuse(ASID_BUSY, { kind, asids: max - min + 1 });
  asids.add(asid);
  return { ret: asid, fwError: 0 };
}

/** sev_asid_free(): the ASID waits for a flush. */
export function sevAsidFree(machine: Machine, asid: number): void {
  machine.kvm.asidsToReclaim.add(asid);
}

function firstFree(used: ReadonlySet<number>, min: number, max: number): number | undefined {
  for (let asid = min; asid <= max; asid++) if (!used.has(asid)) return asid;
  return undefined;
}

/** __sev_recycle_asids(): all or nothing. */
function sevRecycleAsids(machine: Machine): Op<IoctlResult> {
  const { asids, asidsToReclaim } = machine.kvm;
  return inKernel(machine, '__sev_recycle_asids', { waiting: asidsToReclaim.size }, function* () {
    wbinvdOnAllCores(machine.asp);
    const flushed = yield* sevDoCmd(snpDfFlush(machine), ASID_FLUSH, {});
    if (flushed.fault) return flushed;
    for (const asid of asidsToReclaim) asids.delete(asid);
    asidsToReclaim.clear();
    return flushed;
  });
}
