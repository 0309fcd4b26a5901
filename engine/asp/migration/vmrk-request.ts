import { hex } from '../../address.js';
import { copyBytes } from '../../bytes.js';
import type { Fault } from '../../fault.js';
import { FIRMWARE_STATUS } from '../../spec/firmware-status.js';
import { reservedFault } from '../attestation/message-checks.js';
import { MESSAGE_TYPE } from '../guest-message.js';
import { type MessageContext, type MessageHandler, type MessageReply, refusedReply } from '../guest-message-handler.js';
import type { GuestContext } from '../state.js';
import { agentFault, type Checked, stateFault, targetOf, vmpckFault } from './migration-checks.js';

/**
 * MSG_VMRK_REQ and MSG_VMRK_RSP: the migration agent gives a guest of its own the root of keys that stay the same on
 * every host. AMD pub. 56860, MSG_VMRK_REQ; github.com/AMDESE/sev-tool src/rmp.h.
 */

const NAME = 'MSG_VMRK_REQ';
const REQUEST_SIZE = 0x40;
const RESPONSE_SIZE = 0x10;
const VMRK = { offset: 0x20, size: 32 } as const;

/** 64 bytes. VMRK: 32 bytes. */
export function encodeVmrkRequest(gctx: number, vmrk: Uint8Array): Uint8Array {
  const payload = new Uint8Array(REQUEST_SIZE);
  new DataView(payload.buffer).setBigUint64(0, BigInt(gctx), true);
  payload.set(vmrk.subarray(0, VMRK.size), VMRK.offset);
  return payload;
}

function check(context: MessageContext): Checked<GuestContext> {
  const wrong: Fault | undefined =
    vmpckFault(context.vmpck, NAME) ?? reservedFault(context.payload, 0x08, VMRK.offset, NAME);
  if (wrong) return { fault: wrong };
  const found = targetOf(context, NAME);
  if ('fault' in found) return found;
  const notAllowed =
    agentFault(found.value, context.guest, NAME) ?? stateFault(found.value, ['LAUNCH', 'RUNNING'], NAME);
  return notAllowed ? { fault: notAllowed } : found;
}

function handle(context: MessageContext): MessageReply {
  const checked = check(context);
  if ('fault' in checked) return refusedReply(checked.fault, RESPONSE_SIZE);
  const target = checked.value;
  target.vmrk = copyBytes(context.payload, VMRK.offset, VMRK.offset + VMRK.size);
  const summary = `the guest with context ${hex(target.address)} has a VM root key`;
  return { status: FIRMWARE_STATUS.SUCCESS, payload: new Uint8Array(RESPONSE_SIZE), summary };
}

export const VMRK_HANDLER: MessageHandler = {
  type: MESSAGE_TYPE.VMRK_REQ,
  versions: () => [1],
  wrongSize: (payload) => (payload.length === REQUEST_SIZE ? undefined : `${REQUEST_SIZE}`),
  handle,
};
