import { type Gpa, gfn, gfnOf, PAGES_PER_2M } from '../../address.js';
import { nptZap } from '../../cpu/svm/nested-page-table.js';
import type { Machine } from '../../machine.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { isPrivate } from '../ioctl/kvm-set-memory-attributes.js';
import { snpLookupRmpentry } from '../rmp-helpers.js';
import { snpRmptablePsmash } from '../snp-rmptable-psmash.js';
import { type KvmVcpu, type KvmVm, slotOf } from '../state.js';
import { kvmGmemGetPfn } from './kvm-gmem-get-pfn.js';

/**
 * sev_handle_rmp_fault(): splits a 2 MiB RMP entry that the guest uses in pieces of 4 KiB, or that the nested page
 * table maps with 4 KiB. Everything else it takes as spurious. Linux arch/x86/kvm/svm/sev.c.
 */
export function* sevHandleRmpFault(
  machine: Machine,
  vm: KvmVm,
  vcpu: KvmVcpu,
  address: Gpa,
  errorCode: bigint,
): Op<void> {
  const frame = gfnOf(address);
  const at = `GPA 0x${address.toString(16)}`;
  const warning = (text: string) => logEvent(machine.stack, 'kvm', `SEV: ${text}`);
  if (!isPrivate(vm, frame, gfn(frame + 1))) {
    yield warning(`Unexpected RMP fault for non-private ${at}`);
    return;
  }
  const slot = slotOf(vm, frame);
  if (slot?.gmemFd === undefined) {
    yield warning(`Unexpected RMP fault, non-private slot for ${at}`);
    return;
  }
  const page = yield* kvmGmemGetPfn(machine, vm, slot, frame);
  if (!page.ok) {
    yield warning(`Unexpected RMP fault, no backing page for private ${at}`);
    return;
  }
  const { pfn } = page;
  const lookup = snpLookupRmpentry(machine, pfn);
  if (!lookup.ok || !lookup.assigned) {
    const error = lookup.ok ? 0 : lookup.result.ret;
    yield warning(
      `Unexpected RMP fault, no assigned RMP entry found for ${at} PFN 0x${pfn.toString(16)} error ${error}`,
    );
    return;
  }
  let level = lookup.level2M ? 2 : 1;
  let ret = 0;
  if (level === 2) {
    ret = yield* snpRmptablePsmash(machine, pfn);
    const again = ret === 0 ? undefined : snpLookupRmpentry(machine, pfn);
    if (again?.ok && again.assigned && !again.level2M) level = 1;
    else {
      if (ret !== 0) yield warning(`Unable to split RMP entry for ${at} PFN 0x${pfn.toString(16)} ret ${ret}`);
      if (vm.nestedPageTable) nptZap(vm.nestedPageTable, frame, gfn(frame + PAGES_PER_2M));
    }
  }
  yield logEvent(
    machine.stack,
    'kvm',
    `kvm_rmp_fault: vcpu ${vcpu.index} gpa ${address.toString(16).padStart(16, '0')} pfn 0x${pfn.toString(16)} error_code 0x${errorCode.toString(16)} rmp_level ${level} psmash_ret ${ret}`,
  );
}
