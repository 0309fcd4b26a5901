import { hex, PAGE_SIZE, pfnOf, type Spa } from '../../address.js';
import type { Fault } from '../../fault.js';
import { firmwareStatusName } from '../../spec/firmware-status.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { CPUID_HANDLER } from '../attestation/cpuid-request.js';
import { KEY_HANDLER } from '../attestation/key-request.js';
import { REPORT_HANDLER } from '../attestation/report-request.js';
import { TSC_INFO_HANDLER } from '../attestation/tsc-info-request.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS } from '../command.js';
import { addressRefusal, findGuest, GUEST_STATE, outputRefusal, stateAt } from '../common-checks.js';
import {
  decodeMessageHeader,
  MESSAGE_ALGORITHM,
  MESSAGE_HEADER_SIZE,
  MESSAGE_HEADER_VERSION,
  MESSAGE_MAX_PAYLOAD,
  MESSAGE_TYPE,
  type Message,
  type MessageHeader,
  messageTypeName,
  openMessage,
  sealMessage,
} from '../guest-message.js';
import type { MessageHandler } from '../guest-message-handler.js';
import {
  REQUEST_ALGORITHM,
  REQUEST_HEADER_SIZE,
  REQUEST_HEADER_VERSION,
  REQUEST_MESSAGE_SIZE,
  REQUEST_MESSAGE_VERSION,
  REQUEST_RESERVED,
  REQUEST_SAME_PAGE,
  REQUEST_SEQUENCE,
  REQUEST_SEQUENCE_OVERFLOW,
  REQUEST_SIZE,
  REQUEST_TAG,
  REQUEST_TYPE,
  REQUEST_VMPCK,
} from '../guest-message-refusals.js';
import { ABSORB_HANDLER, ABSORB_NOMA_HANDLER } from '../migration/absorb-request.js';
import { EXPORT_HANDLER } from '../migration/export-request.js';
import { IMPORT_HANDLER } from '../migration/import-request.js';
import { VMRK_HANDLER } from '../migration/vmrk-request.js';
import { readBytes, writeBytes } from '../page-io.js';
import { currentFirmware } from '../platform-firmware.js';
import type { GuestContext } from '../state.js';

const NAME = 'SNP_GUEST_REQUEST';

export interface GuestRequestParams {
  readonly gctx: Spa;
  /** The page with the message of the guest; the host passes on what it cannot read. */
  readonly request: Spa;
  /** A page in state Firmware. */
  readonly response: Spa;
}

/** What the firmware answered to an authentic message. */
export interface AnsweredMessage {
  /** `MSG_REPORT_REQ`. */
  readonly name: string;
  readonly type: number;
  readonly vmpck: number;
  /** That of the request; the response has the next one. */
  readonly sequence: bigint;
  /** STATUS inside the encrypted response. The command itself succeeded. */
  readonly status: number;
  /** Why STATUS is not SUCCESS. The guest sees the status only, the host nothing. */
  readonly fault?: Fault;
}

export interface GuestRequestResult extends FirmwareResult {
  readonly message?: AnsweredMessage;
}

const HANDLERS: ReadonlyMap<number, MessageHandler> = new Map(
  [
    CPUID_HANDLER,
    KEY_HANDLER,
    REPORT_HANDLER,
    TSC_INFO_HANDLER,
    VMRK_HANDLER,
    EXPORT_HANDLER,
    IMPORT_HANDLER,
    ABSORB_HANDLER,
    ABSORB_NOMA_HANDLER,
  ].map((handler) => [handler.type, handler]),
);

const SEQUENCE_MAX = 2n ** 64n - 1n;

type Vmpck = 0 | 1 | 2 | 3;

function isVmpck(value: number): value is Vmpck {
  return value >= 0 && value <= 3;
}

function pagesRefusal(machine: FirmwareMachine, { request, response }: GuestRequestParams): FirmwareResult | undefined {
  const wrong =
    addressRefusal(machine, NAME, 'REQUEST_PADDR', request) ??
    addressRefusal(machine, NAME, 'RESPONSE_PADDR', response);
  if (wrong) return wrong;
  if (request === response) return refuse(REQUEST_SAME_PAGE, { page: hex(request) });
  return outputRefusal(machine, NAME, 'RESPONSE_PADDR', response);
}

function headerRefusal(header: MessageHeader, page: string): FirmwareResult | undefined {
  if (header.headerVersion !== MESSAGE_HEADER_VERSION) {
    return refuse(REQUEST_HEADER_VERSION, { version: header.headerVersion, page });
  }
  if (header.headerSize !== MESSAGE_HEADER_SIZE) {
    return refuse(REQUEST_HEADER_SIZE, { size: hex(header.headerSize), page });
  }
  if (header.algorithm !== MESSAGE_ALGORITHM) return refuse(REQUEST_ALGORITHM, { algorithm: header.algorithm });
  if (header.reservedAt !== undefined) return refuse(REQUEST_RESERVED, { offset: hex(header.reservedAt) });
  if (!isVmpck(header.vmpck)) return refuse(REQUEST_VMPCK, { vmpck: header.vmpck });
  if (header.size > MESSAGE_MAX_PAYLOAD) {
    return refuse(REQUEST_SIZE, { size: header.size, limit: MESSAGE_MAX_PAYLOAD });
  }
  return undefined;
}

function sequenceRefusal({ sequence }: MessageHeader, vmpck: Vmpck, count: bigint): FirmwareResult | undefined {
  if (count + 2n > SEQUENCE_MAX) return refuse(REQUEST_SEQUENCE_OVERFLOW, { vmpck, count: hex(count) });
  const expected = count + 1n;
  if (sequence === expected) return undefined;
  return refuse(REQUEST_SEQUENCE, { vmpck, sequence: sequence.toString(), expected: expected.toString() });
}

type Accepted =
  | { readonly message: Message; readonly vmpck: Vmpck; readonly handler: MessageHandler; readonly name: string }
  | { readonly refusal: FirmwareResult };

/** The message in a request page, after all checks up to its size. */
function accept(machine: FirmwareMachine, guest: GuestContext, request: Spa): Accepted {
  const page = readBytes(machine.memory, request, PAGE_SIZE);
  const header = decodeMessageHeader(page);
  const wrong = headerRefusal(header, stateAt(machine, pfnOf(request)));
  if (wrong) return { refusal: wrong };
  const { vmpck } = header;
  if (!isVmpck(vmpck)) throw new Error('headerRefusal() lets no such key pass');
  if (guest.state === 'INIT' && header.type !== MESSAGE_TYPE.IMPORT_REQ) {
    const needed = 'RUNNING (INIT takes MSG_IMPORT_REQ only)';
    return { refusal: refuse(GUEST_STATE, { state: guest.state, needed }, NAME) };
  }
  const outOfSequence = sequenceRefusal(header, vmpck, guest.messageCount[vmpck]);
  if (outOfSequence) return { refusal: outOfSequence };
  const message = openMessage(guest.vmpck[vmpck], page);
  if (!message) return { refusal: refuse(REQUEST_TAG, { vmpck, sequence: header.sequence.toString() }) };
  const name = messageTypeName(message.type) ?? hex(message.type);
  const handler = HANDLERS.get(message.type);
  if (!handler) {
    const number = hex(message.type);
    return { refusal: refuse(REQUEST_TYPE, { type: name === number ? number : `${number} (${name})` }) };
  }
  const known = handler.versions(currentFirmware(machine));
  if (!known.includes(message.version)) {
    const operands = { type: name, version: message.version, known: known.join(' and ') };
    return { refusal: refuse(REQUEST_MESSAGE_VERSION, operands) };
  }
  const needed = handler.wrongSize(message.payload, message.version);
  if (needed !== undefined) {
    return { refusal: refuse(REQUEST_MESSAGE_SIZE, { type: name, size: message.payload.length, needed }) };
  }
  return { message, vmpck, handler, name };
}

/**
 * SNP_GUEST_REQUEST (0x094): decrypts the message in `request`, processes it and writes the encrypted answer to
 * `response`. A refused command consumes no sequence number; a refused request inside an authentic message does, and
 * its status stands in the answer. AMD pub. 56860, SNP_GUEST_REQUEST.
 */
export function* snpGuestRequest(machine: FirmwareMachine, params: GuestRequestParams): Op<GuestRequestResult> {
  const args = { gctx: hex(params.gctx), request: hex(params.request), response: hex(params.response) };
  const answered: { message?: AnsweredMessage } = {};
  const result = yield* inCommand(machine, NAME, { args }, function* () {
    const found = findGuest(machine, NAME, params.gctx);
    if ('refusal' in found) return found.refusal;
    const { guest } = found;
    if (guest.state === 'LAUNCH') return refuse(GUEST_STATE, { state: guest.state, needed: 'RUNNING' }, NAME);
    const wrong = pagesRefusal(machine, params);
    if (wrong) return wrong;
    const accepted = accept(machine, guest, params.request);
    if ('refusal' in accepted) return accepted.refusal;
    const { message, vmpck, handler, name } = accepted;
    const { sequence, version, payload } = message;
    const reply = handler.handle({ machine, guest, vmpck, version, payload });
    const response = { sequence: sequence + 1n, type: message.type + 1, version, vmpck, payload: reply.payload };
    writeBytes(machine.memory, params.response, sealMessage(guest.vmpck[vmpck], response));
    guest.messageCount[vmpck] = sequence + 1n;
    reply.afterwards?.();
    answered.message = {
      name,
      type: message.type,
      vmpck,
      sequence,
      status: reply.status,
      ...(reply.fault ? { fault: reply.fault } : {}),
    };
    const statusName = firmwareStatusName(reply.status) ?? hex(reply.status);
    yield logEvent(
      machine.stack,
      'firmware',
      `${name} ${sequence} under VMPCK${vmpck}: STATUS ${statusName}: ${reply.summary}`,
    );
    return SUCCESS;
  });
  return answered.message ? { ...result, message: answered.message } : result;
}
