import { hex, hva, PAGE_SIZE, type Pfn, spaOf } from '../../address.js';
import { snpGuestRequest } from '../../asp/commands/snp-guest-request.js';
import { copyBytes } from '../../bytes.js';
import { type Fault, makeFault } from '../../fault.js';
import { readPage, writePage } from '../../memory/system-memory.js';
import { userPageFrame } from '../../memory/user-memory.js';
import { GUEST_VMM_ERROR } from '../../spec/ghcb-layout.js';
import type { Op } from '../../timeline/event.js';
import { gpaToHva, kvmReadGuest, kvmWriteGuest } from '../mmu/kvm-read-guest.js';
import { type IoctlResult, inKernel } from '../result.js';
import { rmpMarkPageFirmware, snpReclaimAndShare } from '../rmp-helpers.js';
import type { ExitHandling } from '../run/kvm-exit.js';
import { sevIssueCmd } from '../sev-issue-cmd.js';
import {
  GUEST_REQ_COPY,
  GUEST_REQ_FIRMWARE,
  GUEST_REQ_FIRMWARE_V15,
  GUEST_REQ_ISSUE,
  GUEST_REQ_PAGES,
} from './guest-req-faults.js';
import { failRun, refusedRequest, type Vmgexit, vmgexitSuccess } from './vmgexit.js';

/** SNP_GUEST_ERR(): the error of the VMM in the upper half, the status of the firmware in the lower one. */
export function guestError(vmm: number, firmware: number): bigint {
  return (BigInt(vmm) << 32n) | BigInt(firmware >>> 0);
}

/**
 * Event GUEST_REQUEST: hands the encrypted message in the page SW_EXITINFO1 to the firmware, and its answer to the page
 * SW_EXITINFO2. From Linux 6.11 on by pages of KVM's own; as posted by the pages of the guest.
 */
export function snpHandleGuestReq(v: Vmgexit): Op<ExitHandling> {
  const { exitInfo1, exitInfo2 } = v.exit;
  const args = { request: hex(exitInfo1), response: hex(exitInfo2) };
  return inKernel(v.machine, 'snp_handle_guest_req', args, function* () {
    if (v.vm.guestReq) return yield* bounced(v, v.vm.guestReq);
    const { vmm, firmware, fault } = yield* zeroCopy(v);
    vmgexitSuccess(v, guestError(vmm, firmware));
    return fault ? refusedRequest(fault) : { ret: 1, fwError: 0 };
  });
}

/** As merged: snp_handle_guest_req(). */
function* bounced(v: Vmgexit, buffers: { readonly request: Pfn; readonly response: Pfn }): Op<ExitHandling> {
  const { machine, vm, exit } = v;
  const message = kvmReadGuest(machine, vm, Number(exit.exitInfo1), PAGE_SIZE);
  if (!message) return failRun(GUEST_REQ_COPY, { gpa: hex(exit.exitInfo1), page: 'request page' });
  writePage(machine.memory, buffers.request, { bytes: message, frozen: false });
  const sent = yield* issue(v, buffers.request, buffers.response);
  if (sent.fault && sent.fwError === 0) return failRun(GUEST_REQ_ISSUE, {}, sent.fault);
  // On failure, too: the page then holds what the firmware left there.
  const answer = copyBytes(readPage(machine.memory, buffers.response));
  if (!kvmWriteGuest(machine, vm, Number(exit.exitInfo2), answer)) {
    return failRun(GUEST_REQ_COPY, { gpa: hex(exit.exitInfo2), page: 'response page' });
  }
  const done = vmgexitSuccess(v, guestError(GUEST_VMM_ERROR.NONE, sent.fwError));
  return sent.fault ? refusedRequest(sent.fault) : done;
}

/** SNP_GUEST_REQUEST by the descriptor of the launch. `fwError` 0 with a fault: it did not reach the firmware. */
function issue(v: Vmgexit, request: Pfn, response: Pfn): Op<IoctlResult> {
  const { machine, vm } = v;
  if (vm.snpContext === undefined) throw new Error('a running SNP guest without context');
  const command = snpGuestRequest(machine, {
    gctx: spaOf(vm.snpContext),
    request: spaOf(request),
    response: spaOf(response),
  });
  return withStatus(v, sevIssueCmd(machine, vm.sevFd, command, GUEST_REQ_ISSUE, {}));
}

/** The failure with the status of the firmware in it. */
function* withStatus(v: Vmgexit, command: Op<IoctlResult>): Op<IoctlResult> {
  const result = yield* command;
  if (!result.fault || result.fwError === 0) return result;
  const operands = { request: hex(v.exit.exitInfo1), status: hex(result.fwError) };
  const code = { kind: 'ghcb', name: 'firmware status', value: result.fwError } as const;
  const cause = result.fault.cause ? { cause: result.fault.cause } : {};
  return { ...result, fault: makeFault(GUEST_REQ_FIRMWARE, operands, { code, ...cause }) };
}

export interface GuestReqOutcome {
  readonly vmm: number;
  readonly firmware: number;
  readonly fault?: Fault;
}

/** As posted: __snp_handle_guest_req(), snp_setup_guest_buf(), snp_cleanup_guest_buf(). */
export function* zeroCopy(v: Vmgexit): Op<GuestReqOutcome> {
  const { machine, exit } = v;
  const fails = (fault: Fault, firmware = 0): GuestReqOutcome => ({ vmm: GUEST_VMM_ERROR.GENERIC, firmware, fault });
  const request = guestFrame(v, exit.exitInfo1, 'request page');
  if (typeof request !== 'number') return fails(request);
  const response = guestFrame(v, exit.exitInfo2, 'response page');
  if (typeof response !== 'number') return fails(response);
  const marked = yield* rmpMarkPageFirmware(machine, response);
  if (marked.fault) {
    const problem = 'cannot be made a Firmware page';
    const operands = { gpa: hex(exit.exitInfo2), page: 'response page', problem };
    return fails(makeFault(GUEST_REQ_PAGES, operands, { cause: marked.fault }));
  }
  const sent = yield* issue(v, request, response);
  if (sent.fault) {
    const operands = {
      request: hex(exit.exitInfo1),
      response: hex(exit.exitInfo2),
      status: hex(sent.fwError),
    };
    const cause = sent.fault.cause ? { cause: sent.fault.cause } : {};
    return fails(makeFault(GUEST_REQ_FIRMWARE_V15, operands, cause), sent.fwError);
  }
  const lost = yield* snpReclaimAndShare(machine, response);
  if (!lost) return { vmm: GUEST_VMM_ERROR.NONE, firmware: 0 };
  const problem = 'cannot be taken back from the firmware';
  const operands = { gpa: hex(exit.exitInfo2), page: 'response page', problem };
  return fails(makeFault(GUEST_REQ_PAGES, operands, { cause: lost }));
}

/** gfn_to_pfn(): the frame behind a shared page. */
function guestFrame(v: Vmgexit, address: bigint, page: string): Pfn | Fault {
  const gpa = hex(address);
  if (address % 4096n !== 0n) {
    return makeFault(GUEST_REQ_PAGES, { gpa, page, problem: 'is not aligned to 4 KiB' });
  }
  const user = gpaToHva(v.vm, Number(address));
  const frame = user === undefined ? undefined : userPageFrame(v.machine.user, v.machine, hva(user));
  return frame ?? makeFault(GUEST_REQ_PAGES, { gpa, page, problem: 'is not in guest memory' });
}
