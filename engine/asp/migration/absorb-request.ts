import { hex } from '../../address.js';
import { FIRMWARE_STATUS } from '../../spec/firmware-status.js';
import { reservedFault } from '../attestation/message-checks.js';
import { MESSAGE_TYPE } from '../guest-message.js';
import { type MessageContext, type MessageHandler, type MessageReply, refusedReply } from '../guest-message-handler.js';
import type { GuestContext } from '../state.js';
import { enterContext } from './enter-context.js';
import type { ExportedContext } from './exported-context.js';
import {
  agentFault,
  type Checked,
  contextIn,
  IMPORT_REQUEST_SIZE,
  IMPORT_RESPONSE_SIZE,
  imageFault,
  migrationFault,
  stateFault,
  targetOf,
  vmpckFault,
} from './migration-checks.js';
import { MIGRATION_POLICY, MIGRATION_REQUESTER } from './migration-faults.js';

/**
 * MSG_ABSORB_REQ: a context goes into a guest that was launched with the incoming migration image it expects; LAUNCH →
 * RUNNING. MSG_ABSORB_NOMA_REQ: a running guest without agent takes it itself. AMD pub. 56860, MSG_ABSORB_REQ;
 * github.com/AMDESE/sev-tool src/rmp.h.
 */

const ABSORB = 'MSG_ABSORB_REQ';
const NOMA = 'MSG_ABSORB_NOMA_REQ';

interface Absorption {
  readonly target: GuestContext;
  readonly context: ExportedContext;
}

/** The context fits the guest that waits for it. */
function fits(message: MessageContext, target: GuestContext, name: string): Checked<Absorption> {
  const found = contextIn(message, name);
  if ('fault' in found) return found;
  const context = found.value;
  if (context.policy !== target.policy) {
    const reason = `The context has policy ${hex(context.policy)}, the guest was launched with ${hex(target.policy)}.`;
    return migrationFault(MIGRATION_POLICY, { reason }, name);
  }
  const wrongImage = imageFault(target, context, name);
  return wrongImage ? { fault: wrongImage } : { value: { target, context } };
}

function checkAbsorb(message: MessageContext): Checked<Absorption> {
  const early = vmpckFault(message.vmpck, ABSORB);
  if (early) return { fault: early };
  const found = targetOf(message, ABSORB);
  if ('fault' in found) return found;
  const notAllowed = agentFault(found.value, message.guest, ABSORB) ?? stateFault(found.value, ['LAUNCH'], ABSORB);
  return notAllowed ? { fault: notAllowed } : fits(message, found.value, ABSORB);
}

function checkNoma(message: MessageContext): Checked<Absorption> {
  const early = vmpckFault(message.vmpck, NOMA) ?? reservedFault(message.payload, 0, 8, NOMA);
  if (early) return { fault: early };
  if (message.guest.reportIdMa.some((byte) => byte !== 0xff)) {
    return migrationFault(MIGRATION_REQUESTER, { reason: 'The requester has a migration agent' }, NOMA);
  }
  return fits(message, message.guest, NOMA);
}

const done = (target: GuestContext): Omit<MessageReply, 'fault'> => ({
  status: FIRMWARE_STATUS.SUCCESS,
  payload: new Uint8Array(IMPORT_RESPONSE_SIZE),
  summary: `context absorbed into the guest at ${hex(target.address)}`,
});

const wrongSize = (payload: Uint8Array): string | undefined =>
  payload.length === IMPORT_REQUEST_SIZE ? undefined : `${IMPORT_REQUEST_SIZE}`;

export const ABSORB_HANDLER: MessageHandler = {
  type: MESSAGE_TYPE.ABSORB_REQ,
  versions: () => [1],
  wrongSize,
  handle: (message) => {
    const checked = checkAbsorb(message);
    if ('fault' in checked) return refusedReply(checked.fault, IMPORT_RESPONSE_SIZE);
    const { target, context } = checked.value;
    enterContext(message.machine, target, context);
    return done(target);
  },
};

export const ABSORB_NOMA_HANDLER: MessageHandler = {
  type: MESSAGE_TYPE.ABSORB_NOMA_REQ,
  versions: () => [1],
  wrongSize,
  handle: (message) => {
    const checked = checkNoma(message);
    if ('fault' in checked) return refusedReply(checked.fault, IMPORT_RESPONSE_SIZE);
    const { target, context } = checked.value;
    // The answer still goes out under the old key and its count.
    return { ...done(target), afterwards: () => enterContext(message.machine, target, context) };
  },
};
