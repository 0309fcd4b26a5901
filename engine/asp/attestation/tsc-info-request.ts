import { view } from '../../bytes.js';
import { FIRMWARE_STATUS } from '../../spec/firmware-status.js';
import { PLATFORM_FEATURES } from '../../spec/platform-features.js';
import { MESSAGE_TYPE } from '../guest-message.js';
import { type MessageContext, type MessageHandler, type MessageReply, refusedReply } from '../guest-message-handler.js';
import { reservedFault } from './message-checks.js';

/**
 * MSG_TSC_INFO_REQ and MSG_TSC_INFO_RSP: what a guest with SecureTSC writes into the VMSAs of further vCPUs. Linux
 * arch/x86/coco/sev/core.c snp_get_tsc_info(); AMD pub. 56860, MSG_TSC_INFO_REQ.
 */

const NAME = 'MSG_TSC_INFO_REQ';
const SIZE = 128;
/** GUEST_TSC_SCALE has 8 integer and 32 fraction bits. */
const SCALE_ONE = 1n << 32n;

function handle({ machine, guest, payload }: MessageContext): MessageReply {
  const fault = reservedFault(payload, 0, SIZE, NAME);
  if (fault) return refusedReply(fault, SIZE);
  const host = PLATFORM_FEATURES[machine.processor.name].tscKhz;
  const desired = guest.desiredTscKhz;
  const scale = desired === 0 ? SCALE_ONE : (BigInt(desired) * SCALE_ONE) / BigInt(host);
  const reply = new Uint8Array(SIZE);
  // TSC_OFFSET and TSC_FACTOR are zero: the emulated TSC starts with the guest and has no spread-spectrum clock.
  view(reply).setBigUint64(0x08, scale, true);
  return { status: FIRMWARE_STATUS.SUCCESS, payload: reply, summary: `TSC scale 0x${scale.toString(16)}, offset 0` };
}

export const TSC_INFO_HANDLER: MessageHandler = {
  type: MESSAGE_TYPE.TSC_INFO_REQ,
  versions: () => [1],
  wrongSize: (payload) => (payload.length === SIZE ? undefined : `${SIZE}`),
  handle,
};
