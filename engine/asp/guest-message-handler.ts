import { type Fault, type FaultDefinition, makeFault, type Operands } from '../fault.js';
import { FIRMWARE_STATUS } from '../spec/firmware-status.js';
import type { FirmwareProfile } from '../spec/versions.js';
import type { FirmwareMachine } from './command.js';
import type { GuestContext } from './state.js';

/** An authentic message, as its handler sees it. */
export interface MessageContext {
  readonly machine: FirmwareMachine;
  readonly guest: GuestContext;
  /** The key of the message; code at VMPL n may use the keys from n on. */
  readonly vmpck: number;
  /** MSG_VERSION. */
  readonly version: number;
  readonly payload: Uint8Array;
}

/** What goes back to the guest. The command succeeded even if the request is refused: that stands in STATUS. */
export interface MessageReply {
  /** STATUS of the response: a value of FIRMWARE_STATUS. */
  readonly status: number;
  /** The response with STATUS in its first word. */
  readonly payload: Uint8Array;
  /** Why the status is not SUCCESS. */
  readonly fault?: Fault;
  /** What was answered, for the log. */
  readonly summary: string;
  /** Runs when the answer is sealed and its number counted: for what changes the requester's own keys and counts. */
  readonly afterwards?: () => void;
}

/** One message type. The response has the next type number. */
export interface MessageHandler {
  /** MSG_TYPE of the request. */
  readonly type: number;
  /** Values of MSG_VERSION that this firmware knows. */
  readonly versions: (firmware: FirmwareProfile) => readonly number[];
  /** Undefined: the payload has a size that fits; otherwise the sizes that would, in words. */
  readonly wrongSize: (payload: Uint8Array, version: number) => string | undefined;
  readonly handle: (context: MessageContext) => MessageReply;
}

/** STATUS of a fault. */
export function faultStatus({ code }: Fault): number {
  return code.kind === 'firmware' ? code.value : FIRMWARE_STATUS.INVALID_PARAM;
}

/** A fault of a check that several messages share: it names the message. */
export function messageFault<O extends Operands>(definition: FaultDefinition<O>, operands: O, message: string): Fault {
  return { ...makeFault(definition, operands), command: message };
}

/** A response of `size` bytes that has STATUS only. */
export function refusedReply(fault: Fault, size: number): MessageReply {
  const status = faultStatus(fault);
  const payload = new Uint8Array(size);
  new DataView(payload.buffer).setUint32(0, status, true);
  return { status, payload, fault, summary: fault.message };
}
