import { hex, isPageAligned } from '../../address.js';
import { makeFault } from '../../fault.js';
import { GUEST_VMM_ERROR, isValid } from '../../spec/ghcb-layout.js';
import type { Op } from '../../timeline/event.js';
import { kvmReadGuest, kvmWriteGuest } from '../mmu/kvm-read-guest.js';
import { inKernel } from '../result.js';
import { type ExitHandling, type KvmExit, RESUME, TO_USERSPACE } from '../run/kvm-exit.js';
import { EXT_REQ_CERTIFICATES, EXT_REQ_DATA, EXT_REQ_DATA_V15, GUEST_REQ_COPY } from './guest-req-faults.js';
import { guestError, snpHandleGuestReq, zeroCopy } from './snp-handle-guest-req.js';
import { badInput, failRun, refusedRequest, type Vmgexit, vmgexitSuccess } from './vmgexit.js';

/** Offset of msg_type in struct snp_guest_msg_hdr; SNP_MSG_REPORT_REQ. Linux include/linux/psp-sev.h, asm/sev.h. */
const MSG_TYPE = 0x34;
const REPORT_REQ = 5;
/** The entry that ends a certificate table. */
const TABLE_END = new Uint8Array(24);

/** Event EXT_GUEST_REQUEST: a guest request, with the host's certificates into the pages RAX, RBX of them. */
export function* snpHandleExtGuestReq(v: Vmgexit): Op<ExitHandling> {
  const certificates = `${v.exit.rbx} pages at ${hex(v.exit.rax)}`;
  const args = { request: hex(v.exit.exitInfo1), response: hex(v.exit.exitInfo2), certificates };
  return v.machine.kvmProfile.extGuestRequestExits
    ? yield* inKernel(v.machine, 'snp_begin_ext_guest_req', args, () => beginV15(v))
    : yield* inKernel(v.machine, 'snp_handle_ext_guest_req', args, () => merged(v));
}

/** As merged: no certificates from userspace, but an empty table for a report. */
function* merged(v: Vmgexit): Op<ExitHandling> {
  const { machine, vm, exit } = v;
  const type = kvmReadGuest(machine, vm, Number(exit.exitInfo1) + MSG_TYPE, 1);
  if (!type) return failRun(GUEST_REQ_COPY, { gpa: hex(exit.exitInfo1), page: 'request page' });
  if (type[0] === REPORT_REQ) {
    for (const register of ['RAX', 'RBX'] as const) {
      if (!isValid(exit.validBitmap, register)) {
        return badInput(v, EXT_REQ_DATA, { problem: `${register} is not marked valid` });
      }
    }
    if (!isPageAligned(exit.rax)) {
      return badInput(v, EXT_REQ_DATA, { problem: `RAX, ${hex(exit.rax)}, is not aligned to 4 KiB` });
    }
    if (exit.rbx !== 0n && !kvmWriteGuest(machine, vm, Number(exit.rax), TABLE_END)) {
      return failRun(GUEST_REQ_COPY, { gpa: hex(exit.rax), page: 'page for certificates' });
    }
  }
  return yield* snpHandleGuestReq(v);
}

type CertsExit = Extract<KvmExit, { reason: 'KVM_EXIT_VMGEXIT' }>;
const PENDING = 0;
const DONE = 1;
const NOTIFY_DONE = 1;

/** As posted: snp_begin_ext_guest_req(), the VMM writes the certificates. */
// biome-ignore lint/correctness/useYield: nothing happens before the exit.
function* beginV15(v: Vmgexit): Op<ExitHandling> {
  if (!isPageAligned(v.exit.rax)) {
    vmgexitSuccess(v, guestError(GUEST_VMM_ERROR.GENERIC, 0));
    return refusedRequest(makeFault(EXT_REQ_DATA_V15, { rax: hex(v.exit.rax) }));
  }
  return exitForCerts(v, PENDING);
}

function exitForCerts(v: Vmgexit, status: number): ExitHandling {
  const exit: CertsExit = {
    reason: 'KVM_EXIT_VMGEXIT',
    type: 1,
    dataGpa: Number(v.exit.rax),
    dataNpages: Number(v.exit.rbx),
    ret: 0,
    flags: 0,
    status,
  };
  v.arch.exit = exit;
  v.arch.complete = () =>
    inKernel(v.machine, 'snp_complete_ext_guest_req', { ret: exit.ret, status }, () => completeV15(v, exit));
  return TO_USERSPACE;
}

/** snp_complete_ext_guest_req(). */
function* completeV15(v: Vmgexit, exit: CertsExit): Op<ExitHandling> {
  let handling: ExitHandling = RESUME;
  if (exit.ret !== 0) {
    if (exit.ret === GUEST_VMM_ERROR.INVALID_LEN) v.map.rbx = BigInt(exit.dataNpages);
    vmgexitSuccess(v, guestError(exit.ret, 0));
    const operands = { ret: exit.ret, pages: String(v.exit.rbx), needed: String(exit.dataNpages) };
    const code = { kind: 'ghcb', name: 'VMM error', value: exit.ret } as const;
    handling = refusedRequest(makeFault(EXT_REQ_CERTIFICATES, operands, { code }));
  } else {
    // The second exit only tells the VMM that the request is done.
    if (exit.status === DONE) return RESUME;
    const { vmm, firmware, fault } = yield* zeroCopy(v);
    vmgexitSuccess(v, guestError(vmm, firmware));
    if (fault) handling = refusedRequest(fault);
  }
  return (exit.flags & NOTIFY_DONE) !== 0 ? exitForCerts(v, DONE) : handling;
}
