import type { Pfn } from '../address.js';
import { defineFault } from '../fault.js';
import type { Machine } from '../machine.js';
import { allocPage, freePage } from '../memory/system-memory.js';
import { errno } from '../spec/errno.js';
import type { Op } from '../timeline/event.js';
import { DONE, type IoctlResult, refuse } from './result.js';
import { snpAllocFirmwarePage, snpFreeFirmwarePage } from './snp-firmware-page.js';
import { NO_MEMORY } from './snp-safe-alloc-page.js';
import type { KvmVm } from './state.js';

export const GUEST_REQ_RESPONSE = defineFault({
  check: 'kvm-guest-req-response',
  layer: 'kvm',
  command: 'KVM_SEV_INIT2',
  code: errno('EIO'),
  title: 'No page for guest responses',
  message: () =>
    'KVM could not get a firmware page for the responses to guest requests; whatever the reason, it returns -EIO.',
  why: 'The firmware answers a guest request, such as one for an attestation report, only into a page that was given to it. From Linux 6.11 on KVM sets this page aside for each VM, so that no page of the guest has to change hands.',
  hint: 'See the reason below.',
  reference: 'Linux arch/x86/kvm/svm/sev.c snp_guest_req_init()',
  confirmed: true,
});

/** snp_guest_req_init(): a page for the request and a firmware page for the response of SNP_GUEST_REQUEST. */
export function* snpGuestReqInit(machine: Machine, vm: KvmVm): Op<IoctlResult> {
  const use = 'guest request';
  const request = allocPage(machine.memory, use);
  if (request === undefined) return refuse(NO_MEMORY, { use });
  const response = yield* snpAllocFirmwarePage(machine, 'guest response');
  if (response.fault) {
    freePage(machine.memory, request);
    return refuse(GUEST_REQ_RESPONSE, {}, { cause: response.fault });
  }
  vm.guestReq = { request, response: response.ret as Pfn };
  return DONE;
}

/** snp_guest_req_cleanup(). */
export function* snpGuestReqCleanup(machine: Machine, vm: KvmVm): Op<void> {
  if (!vm.guestReq) return;
  yield* snpFreeFirmwarePage(machine, vm.guestReq.response);
  freePage(machine.memory, vm.guestReq.request);
  vm.guestReq = undefined;
}
