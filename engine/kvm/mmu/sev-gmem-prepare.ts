import { type Gfn, gfn, gpaOf, hex, PAGES_PER_2M, type Pfn } from '../../address.js';
import { defineFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { headOf, regionHasAssigned } from '../../rmp/table.js';
import { errno } from '../../spec/errno.js';
import { inFrame, type Op } from '../../timeline/event.js';
import { DONE, describeIoctl, type IoctlResult, refuse } from '../result.js';
import { rmpMakePrivate, snpLookupRmpentry } from '../rmp-helpers.js';
import { isSnpGuest, type KvmVm } from '../state.js';

const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c sev_gmem_prepare()';

export const PREPARE_LOOKUP = defineFault<{ pfn: string; gfn: string }>({
  check: 'kvm-gmem-prepare-lookup',
  layer: 'kvm',
  command: 'sev_gmem_prepare',
  code: errno('ENOENT'),
  title: 'RMP entry of a private page cannot be read',
  message: (o) => `KVM cannot read the RMP entry of page frame ${o.pfn}, which is to become guest frame ${o.gfn}.`,
  why: 'A page of guest_memfd is given to the guest at the first private access. KVM first looks whether it belongs to somebody already.',
  hint: 'See the reason below.',
  reference: REFERENCE,
  confirmed: true,
});

export const PREPARE_RMPUPDATE = defineFault<{ pfn: string; gfn: string }>({
  check: 'kvm-gmem-prepare-rmpupdate',
  layer: 'kvm',
  command: 'sev_gmem_prepare',
  code: errno('EINVAL'),
  title: 'Private page cannot be given to the guest',
  message: (o) => `RMPUPDATE does not make page frame ${o.pfn} private for guest frame ${o.gfn}.`,
  why: 'The guest can use a private page only after the RMP says that it is its own, at this guest address.',
  hint: 'See the reason below.',
  reference: REFERENCE,
  confirmed: true,
});

/**
 * kvm_arch_gmem_prepare() for SNP: the page of guest_memfd becomes private in the RMP, not validated. `maxOrder`: of
 * the folio; 9 or more allows one entry of 2 MiB.
 */
export function* sevGmemPrepare(machine: Machine, vm: KvmVm, frame: Gfn, pfn: Pfn, maxOrder: number): Op<IoctlResult> {
  if (!isSnpGuest(vm)) return DONE;
  const options = { args: { gfn: hex(frame), pfn: hex(pfn) }, page: { gfn: frame, pfn } };
  return yield* inFrame(
    machine.stack,
    'kvm',
    'sev_gmem_prepare',
    options,
    () => prepare(machine, vm, frame, pfn, maxOrder),
    describeIoctl,
  );
}

function* prepare(machine: Machine, vm: KvmVm, frame: Gfn, pfn: Pfn, maxOrder: number): Op<IoctlResult> {
  const operands = { pfn: hex(pfn), gfn: hex(frame) };
  const lookup = snpLookupRmpentry(machine, pfn);
  if (!lookup.ok) return refuse(PREPARE_LOOKUP, operands, { cause: lookup.result.fault });
  if (lookup.assigned) return DONE;
  const large = maxOrder >= 9 && !regionHasAssigned(machine.rmp, pfn);
  const target = large ? headOf(pfn) : pfn;
  const first = large ? gfn(frame - (frame % PAGES_PER_2M)) : frame;
  const made = yield* rmpMakePrivate(machine, target, gpaOf(first), vm.asid, false, large);
  return made.fault ? refuse(PREPARE_RMPUPDATE, operands, { cause: made.fault }) : DONE;
}

/**
 * kvm_x86_private_max_mapping_level(): 1 for 4 KiB, 2 for 2 MiB, 0 for no limit. Linux arch/x86/kvm/svm/sev.c
 * sev_private_max_mapping_level().
 */
export function sevPrivateMaxMappingLevel(machine: Machine, vm: KvmVm, pfn: Pfn): number {
  if (!isSnpGuest(vm)) return 0;
  const lookup = snpLookupRmpentry(machine, pfn);
  if (!lookup.ok || !lookup.assigned) return 1;
  return lookup.level2M ? 2 : 1;
}
