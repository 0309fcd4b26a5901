import { PAGE_SIZE } from '../../address.js';
import { view } from '../../bytes.js';
import { FIRMWARE_STATUS } from '../../spec/firmware-status.js';
import { cpuidPolicyFault, cpuidProblemFault } from '../cpuid-faults.js';
import { checkCpuidPage } from '../cpuid-policy.js';
import { CPUID_ENTRY_SIZE, CPUID_HEADER_SIZE, CPUID_MAX_COUNT, cpuidCount } from '../cpuid-table.js';
import { MESSAGE_TYPE } from '../guest-message.js';
import { faultStatus, type MessageContext, type MessageHandler, type MessageReply } from '../guest-message-handler.js';

/**
 * MSG_CPUID_REQ and MSG_CPUID_RSP: a running guest has a CPUID table checked as SNP_LAUNCH_UPDATE checks the CPUID page.
 * The request is laid out like the page. AMD pub. 56860, MSG_CPUID_REQ; github.com/AMDESE/sev-tool src/rmp.h.
 */

const MAX_SIZE = CPUID_HEADER_SIZE + CPUID_MAX_COUNT * CPUID_ENTRY_SIZE;

function handle({ machine, payload }: MessageContext): MessageReply {
  const page = new Uint8Array(PAGE_SIZE);
  page.set(payload);
  const { corrected, mismatches, problem } = checkCpuidPage(page, machine.processor);
  const [cause] = mismatches.length > 0 ? [cpuidPolicyFault(mismatches)] : problem ? [cpuidProblemFault(problem)] : [];
  const fault = cause && { ...cause, command: 'MSG_CPUID_REQ' };
  const status = fault ? faultStatus(fault) : FIRMWARE_STATUS.SUCCESS;
  // STATUS takes the place of COUNT, which moves up by one word; the functions stay where they are.
  const reply = corrected.slice(0, payload.length);
  view(reply).setUint32(0, status, true);
  view(reply).setUint32(4, cpuidCount(page), true);
  reply.fill(0, 8, CPUID_HEADER_SIZE);
  return {
    status,
    payload: reply,
    ...(fault ? { fault } : {}),
    summary: fault ? fault.message : `CPUID table of ${cpuidCount(page)} entries accepted`,
  };
}

export const CPUID_HANDLER: MessageHandler = {
  type: MESSAGE_TYPE.CPUID_REQ,
  versions: () => [1],
  // The functions may be fewer than the 64 that the structure of the specification has.
  wrongSize: (payload) => {
    const { length } = payload;
    if (length < CPUID_HEADER_SIZE || length > MAX_SIZE) return `${CPUID_HEADER_SIZE} to ${MAX_SIZE}`;
    const needed = CPUID_HEADER_SIZE + Math.min(cpuidCount(payload), CPUID_MAX_COUNT) * CPUID_ENTRY_SIZE;
    return length >= needed ? undefined : `${needed} to ${MAX_SIZE}`;
  },
  handle,
};
