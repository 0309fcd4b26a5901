import { hex } from '../../address.js';
import { view } from '../../bytes.js';
import { FIRMWARE_STATUS } from '../../spec/firmware-status.js';
import { reservedFault } from '../attestation/message-checks.js';
import { MESSAGE_TYPE } from '../guest-message.js';
import { MESSAGE_RESERVED } from '../guest-message-faults.js';
import { type MessageContext, type MessageHandler, type MessageReply, refusedReply } from '../guest-message-handler.js';
import { encodeIdBlock } from '../id-block.js';
import { zeroDigest } from '../launch-digest.js';
import type { GuestContext } from '../state.js';
import { EXPORTED_CONTEXT_SIZE, EXPORTED_CONTEXT_VERSION, encodeContext } from './exported-context.js';
import { agentFault, type Checked, migrationFault, stateFault, targetOf, vmpckFault } from './migration-checks.js';
import { MIGRATION_NO_IMI, MIGRATION_NOT_SWAPPED } from './migration-faults.js';

/**
 * MSG_EXPORT_REQ and MSG_EXPORT_RSP: a migration agent gets the context of a guest of its own, whose pages are swapped
 * out. AMD pub. 56860, MSG_EXPORT_REQ; github.com/AMDESE/sev-tool src/rmp.h.
 *
 * The guest shall not be active, according to the same source; but no SNP command deactivates a guest and keeps its
 * context, so that is not checked here (U).
 */

const NAME = 'MSG_EXPORT_REQ';
const REQUEST_SIZE = 0x10;
const HEADER_SIZE = 0x20;
export const EXPORT_RESPONSE_SIZE = HEADER_SIZE + EXPORTED_CONTEXT_SIZE;
const IMI_EN = 1;

/** 16 bytes. */
export function encodeExportRequest(gctx: number, imiEnabled: boolean): Uint8Array {
  const payload = new Uint8Array(REQUEST_SIZE);
  view(payload).setBigUint64(0, BigInt(gctx), true);
  view(payload).setUint32(8, imiEnabled ? IMI_EN : 0, true);
  return payload;
}

export interface ExportResponse {
  readonly status: number;
  readonly size: number;
  readonly version: number;
  /** 0x300 bytes; zeros unless the status is SUCCESS. */
  readonly context: Uint8Array;
}

/** Undefined when the payload is too short. */
export function decodeExportResponse(payload: Uint8Array): ExportResponse | undefined {
  if (payload.length < EXPORT_RESPONSE_SIZE) return undefined;
  const v = view(payload);
  return {
    status: v.getUint32(0, true),
    size: v.getUint32(4, true),
    version: v.getUint32(8, true),
    context: payload.slice(HEADER_SIZE, EXPORT_RESPONSE_SIZE),
  };
}

function check(context: MessageContext): Checked<GuestContext> {
  const { payload, guest, vmpck } = context;
  const early = vmpckFault(vmpck, NAME) ?? reservedFault(payload, 0x0c, REQUEST_SIZE, NAME);
  if (early) return { fault: early };
  const flags = view(payload).getUint32(8, true);
  if (flags > IMI_EN) return migrationFault(MESSAGE_RESERVED, { offset: '0x8' }, NAME);
  const found = targetOf(context, NAME);
  if ('fault' in found) return found;
  const target = found.value;
  const notAllowed = agentFault(target, guest, NAME) ?? stateFault(target, ['LAUNCH', 'RUNNING'], NAME);
  if (notAllowed) return { fault: notAllowed };
  if (flags === IMI_EN && !target.imiEnabled) {
    return migrationFault(MIGRATION_NO_IMI, { gctx: hex(target.address) }, NAME);
  }
  if (!target.rootMdata) return migrationFault(MIGRATION_NOT_SWAPPED, { gctx: hex(target.address) }, NAME);
  return found;
}

function handle(context: MessageContext): MessageReply {
  const checked = check(context);
  if ('fault' in checked) return refusedReply(checked.fault, EXPORT_RESPONSE_SIZE);
  const target = checked.value;
  const isForImage = view(context.payload).getUint32(8, true) === IMI_EN;
  const { idBlock, ...rest } = target;
  const exported = encodeContext({
    ...rest,
    // Only a context that is exported for an image can be absorbed by one (U).
    imd: isForImage ? target.imd : zeroDigest(),
    ...(idBlock ? { idBlock: encodeIdBlock(idBlock) } : {}),
  });
  const payload = new Uint8Array(EXPORT_RESPONSE_SIZE);
  view(payload).setUint32(4, EXPORTED_CONTEXT_SIZE, true);
  view(payload).setUint32(8, EXPORTED_CONTEXT_VERSION, true);
  payload.set(exported, HEADER_SIZE);
  return {
    status: FIRMWARE_STATUS.SUCCESS,
    payload,
    summary: `context of the guest at ${hex(target.address)} exported${isForImage ? ' for an incoming migration image' : ''}`,
  };
}

export const EXPORT_HANDLER: MessageHandler = {
  type: MESSAGE_TYPE.EXPORT_REQ,
  versions: () => [1],
  wrongSize: (payload) => (payload.length === REQUEST_SIZE ? undefined : `${REQUEST_SIZE}`),
  handle,
};
