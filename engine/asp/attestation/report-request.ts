import { copyBytes, view } from '../../bytes.js';
import type { Fault } from '../../fault.js';
import { FIRMWARE_STATUS } from '../../spec/firmware-status.js';
import { MESSAGE_TYPE } from '../guest-message.js';
import { MESSAGE_RESERVED } from '../guest-message-faults.js';
import {
  type MessageContext,
  type MessageHandler,
  type MessageReply,
  messageFault,
  refusedReply,
} from '../guest-message-handler.js';
import { reportOf, signedReport } from './build-report.js';
import { keySelectFault, reservedFault, selectedKey, vmplFault } from './message-checks.js';
import { REPORT_SIZE } from './report.js';

/** MSG_REPORT_REQ and MSG_REPORT_RSP. AMD pub. 56860, MSG_REPORT_REQ; Linux include/uapi/linux/sev-guest.h. */

const NAME = 'MSG_REPORT_REQ';
export const REPORT_REQUEST_SIZE = 0x60;
const RESPONSE_HEADER_SIZE = 0x20;
export const REPORT_RESPONSE_SIZE = RESPONSE_HEADER_SIZE + REPORT_SIZE;

export interface ReportRequest {
  /** 64 bytes that go into the report: a nonce, a key's hash. */
  readonly reportData: Uint8Array;
  readonly vmpl: number;
  /** 0 VLEK or VCEK, 1 VCEK, 2 VLEK. */
  readonly keySelect?: number;
}

/** The 96 bytes of the request. */
export function encodeReportRequest(request: ReportRequest): Uint8Array {
  const payload = new Uint8Array(REPORT_REQUEST_SIZE);
  payload.set(request.reportData.subarray(0, 64));
  view(payload).setUint32(0x40, request.vmpl, true);
  view(payload).setUint32(0x44, request.keySelect ?? 0, true);
  return payload;
}

export interface ReportResponse {
  /** A value of FIRMWARE_STATUS. */
  readonly status: number;
  /** REPORT_SIZE as it stands there. */
  readonly size: number;
  /** 1184 bytes; zeros unless the status is SUCCESS. */
  readonly report: Uint8Array;
}

/** Undefined when the payload is too short. */
export function decodeReportResponse(payload: Uint8Array): ReportResponse | undefined {
  if (payload.length < REPORT_RESPONSE_SIZE) return undefined;
  const v = view(payload);
  return {
    status: v.getUint32(0, true),
    size: v.getUint32(4, true),
    report: copyBytes(payload, RESPONSE_HEADER_SIZE, REPORT_RESPONSE_SIZE),
  };
}

function check({ machine, guest, vmpck, payload }: MessageContext, vmpl: number, keySelect: number): Fault | undefined {
  if (keySelect > 3) return messageFault(MESSAGE_RESERVED, { offset: '0x44' }, NAME);
  return (
    reservedFault(payload, 0x48, REPORT_REQUEST_SIZE, NAME) ??
    vmplFault(vmpl, vmpck, NAME) ??
    keySelectFault(keySelect, machine, guest, NAME)
  );
}

function handle(context: MessageContext): MessageReply {
  const { machine, guest } = context;
  const v = view(context.payload);
  const vmpl = v.getUint32(0x40, true);
  const keySelect = v.getUint32(0x44, true);
  const fault = check(context, vmpl, keySelect);
  if (fault) return refusedReply(fault, REPORT_RESPONSE_SIZE);
  const key = selectedKey(keySelect, machine);
  const report = reportOf(machine, guest, { reportData: context.payload.subarray(0, 64), vmpl, key });
  const payload = new Uint8Array(REPORT_RESPONSE_SIZE);
  view(payload).setUint32(4, REPORT_SIZE, true);
  payload.set(signedReport(machine, report), RESPONSE_HEADER_SIZE);
  const signed = report.chipKeyMasked ? 'not signed (MASK_CHIP_KEY)' : `signed with the emulated ${key}`;
  return {
    status: FIRMWARE_STATUS.SUCCESS,
    payload,
    summary: `attestation report of version ${report.version} for VMPL ${vmpl}, ${signed}`,
  };
}

export const REPORT_HANDLER: MessageHandler = {
  type: MESSAGE_TYPE.REPORT_REQ,
  versions: () => [1],
  wrongSize: (payload) => (payload.length === REPORT_REQUEST_SIZE ? undefined : `${REPORT_REQUEST_SIZE}`),
  handle,
};
