import { hex } from '../../address.js';
import { copyBytes, view } from '../../bytes.js';
import { FIRMWARE_STATUS } from '../../spec/firmware-status.js';
import { MESSAGE_TYPE } from '../guest-message.js';
import { type MessageContext, type MessageHandler, type MessageReply, refusedReply } from '../guest-message-handler.js';
import type { GuestContext } from '../state.js';
import { enterContext } from './enter-context.js';
import { EXPORTED_CONTEXT_SIZE, EXPORTED_CONTEXT_VERSION, type ExportedContext } from './exported-context.js';
import {
  type Checked,
  contextIn,
  IMPORT_HEADER_SIZE,
  IMPORT_REQUEST_SIZE,
  IMPORT_RESPONSE_SIZE,
  isMigratable,
  migrationFault,
  stateFault,
  targetOf,
  vmpckFault,
} from './migration-checks.js';
import { MIGRATION_POLICY, MIGRATION_REQUESTER } from './migration-faults.js';

/**
 * MSG_IMPORT_REQ and MSG_IMPORT_RSP: a migration agent fills an empty context with one that another agent exported;
 * INIT → RUNNING. AMD pub. 56860, MSG_IMPORT_REQ; github.com/AMDESE/sev-tool src/rmp.h.
 */

const NAME = 'MSG_IMPORT_REQ';

/** Payload of import and absorb requests: 0x320 bytes. A context without target (MSG_ABSORB_NOMA_REQ): address 0. */
export function encodeImportRequest(gctx: number, context: Uint8Array): Uint8Array {
  const payload = new Uint8Array(IMPORT_REQUEST_SIZE);
  const v = view(payload);
  v.setBigUint64(0x00, BigInt(gctx), true);
  v.setUint32(0x08, EXPORTED_CONTEXT_SIZE, true);
  v.setUint32(0x0c, EXPORTED_CONTEXT_VERSION, true);
  payload.set(context.subarray(0, EXPORTED_CONTEXT_SIZE), IMPORT_HEADER_SIZE);
  return payload;
}

function check(message: MessageContext): Checked<{ target: GuestContext; context: ExportedContext }> {
  const early = vmpckFault(message.vmpck, NAME);
  if (early) return { fault: early };
  if (isMigratable(message.guest.policy)) {
    return migrationFault(MIGRATION_REQUESTER, { reason: 'The policy of the requester has MIGRATE_MA set' }, NAME);
  }
  const found = targetOf(message, NAME);
  if ('fault' in found) return found;
  const wrongState = stateFault(found.value, ['INIT'], NAME);
  if (wrongState) return { fault: wrongState };
  const context = contextIn(message, NAME);
  if ('fault' in context) return context;
  if (!isMigratable(context.value.policy)) {
    const reason = `Bit 18 (MIGRATE_MA) of the policy ${hex(context.value.policy)} is 0.`;
    return migrationFault(MIGRATION_POLICY, { reason }, NAME);
  }
  return { value: { target: found.value, context: context.value } };
}

function handle(message: MessageContext): MessageReply {
  const checked = check(message);
  if ('fault' in checked) return refusedReply(checked.fault, IMPORT_RESPONSE_SIZE);
  const { target, context } = checked.value;
  const { asp, memory, random } = message.machine;
  target.vek = asp.nextKey++;
  memory.keys.set(target.vek, random.bytes('VEK', 32));
  enterContext(message.machine, target, context);
  target.reportIdMa = copyBytes(message.guest.reportId);
  return {
    status: FIRMWARE_STATUS.SUCCESS,
    payload: new Uint8Array(IMPORT_RESPONSE_SIZE),
    summary: `guest imported into the context at ${hex(target.address)}`,
  };
}

export const IMPORT_HANDLER: MessageHandler = {
  type: MESSAGE_TYPE.IMPORT_REQ,
  versions: () => [1],
  wrongSize: (payload) => (payload.length === IMPORT_REQUEST_SIZE ? undefined : `${IMPORT_REQUEST_SIZE}`),
  handle,
};
