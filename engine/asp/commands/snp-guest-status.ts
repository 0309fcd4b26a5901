import { hex, PAGE_SIZE, type Spa } from '../../address.js';
import { view } from '../../bytes.js';
import type { Op } from '../../timeline/event.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS } from '../command.js';
import { findGuest, OUTPUT_CROSSES_PAGE, outputRefusal } from '../common-checks.js';
import { writeBytes } from '../page-io.js';
import { GUEST_STATE_CODE } from '../state.js';

const NAME = 'SNP_GUEST_STATUS';
export const GUEST_STATUS_SIZE = 32;

/** The result of SNP_GUEST_STATUS. Linux include/linux/psp-sev.h `struct sev_data_snp_guest_status`. */
export interface GuestStatus {
  readonly policy: bigint;
  /** 0: not active. */
  readonly asid: number;
  /** A value of GUEST_STATE_CODE. */
  readonly state: number;
}

export function decodeGuestStatus(bytes: Uint8Array): GuestStatus {
  const v = view(bytes);
  return { policy: v.getBigUint64(0, true), asid: v.getUint32(8, true), state: v.getUint8(12) };
}

export interface GuestStatusParams {
  readonly gctx: Spa;
  /** Where the 32 bytes go: a page in state Firmware. */
  readonly status: Spa;
}

/** SNP_GUEST_STATUS (0x092). AMD pub. 56860, SNP_GUEST_STATUS. */
export function snpGuestStatus(machine: FirmwareMachine, params: GuestStatusParams): Op<FirmwareResult> {
  const field = 'STATUS_PADDR';
  const args = { gctx: hex(params.gctx), status: hex(params.status) };
  // biome-ignore lint/correctness/useYield: the command has no events of its own.
  return inCommand(machine, NAME, { args }, function* () {
    const found = findGuest(machine, NAME, params.gctx);
    if ('refusal' in found) return found.refusal;
    const wrong = outputRefusal(machine, NAME, field, params.status);
    if (wrong) return wrong;
    if ((params.status % PAGE_SIZE) + GUEST_STATUS_SIZE > PAGE_SIZE) {
      return refuse(OUTPUT_CROSSES_PAGE, { field, address: hex(params.status), size: GUEST_STATUS_SIZE }, NAME);
    }
    const bytes = new Uint8Array(GUEST_STATUS_SIZE);
    const v = view(bytes);
    v.setBigUint64(0, found.guest.policy, true);
    v.setUint32(8, found.guest.asid, true);
    v.setUint8(12, GUEST_STATE_CODE[found.guest.state]);
    writeBytes(machine.memory, params.status, bytes);
    return SUCCESS;
  });
}
