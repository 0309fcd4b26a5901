import { hex, PAGE_SIZE, type Spa } from '../../address.js';
import { view } from '../../bytes.js';
import { defineFault } from '../../fault.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { currentMitigations } from '../attestation/platform-tcb.js';
import { type FirmwareMachine, type FirmwareResult, inCommand, refuse, SUCCESS, status } from '../command.js';
import { commandRefusal, lengthRefusal } from '../command-checks.js';
import { OUTPUT_CROSSES_PAGE, outputRefusal } from '../common-checks.js';
import { writeBytes } from '../page-io.js';

const NAME = 'SNP_VERIFY_MITIGATION';
const VERIFY = 'AMD pub. 56860, SNP_VERIFY_MITIGATION; Linux include/linux/psp-sev.h';
export const VERIFY_MITIGATION_SIZE = 0x40;
const RESULT_SIZE = 20;

export const MITIGATION_COMMAND = { STATUS: 0, VERIFY: 1 } as const;

/** Mitigations that the emulated firmware can look for: one, which means nothing. */
export const EMULATED_MITIGATIONS = 1n;

export interface VerifyMitigationParams {
  readonly length?: number;
  /** A value of MITIGATION_COMMAND; others are refused. */
  readonly subCommand: number;
  /** Bits to verify. */
  readonly vector: bigint;
  /** Where the result goes; undefined leaves DST_EN clear. */
  readonly dst?: Spa;
}

export const VERIFY_SUB_COMMAND = defineFault<{ subCommand: number }>({
  check: 'fw-verify-mitigation-command',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Unknown sub-command',
  message: (o) => `The sub-command is ${o.subCommand}; there are 0 (status) and 1 (verify).`,
  why: 'The command either tells which mitigations were found, or looks for them.',
  hint: 'Use 0 or 1.',
  reference: VERIFY,
  confirmed: false,
});

export const VERIFY_VECTOR = defineFault<{ vector: string; supported: string }>({
  check: 'fw-verify-mitigation-vector',
  layer: 'firmware',
  command: NAME,
  code: status('INVALID_PARAM'),
  title: 'Unknown mitigation',
  message: (o) => `The vector ${o.vector} names mitigations that the firmware does not know: ${o.supported} are known.`,
  why: 'Each bit stands for one published weakness. The vector of a guest’s launch is in its attestation report.',
  hint: 'Ask for the status first: it tells which bits are supported.',
  reference: VERIFY,
  confirmed: false,
});

export interface MitigationResult {
  readonly verified: bigint;
  readonly supported: bigint;
  /** 0: none. */
  readonly failure: number;
}

export function decodeMitigationResult(bytes: Uint8Array): MitigationResult {
  const v = view(bytes);
  return {
    verified: v.getBigUint64(0, true),
    supported: v.getBigUint64(8, true),
    failure: v.getUint32(16, true),
  };
}

function refusal(machine: FirmwareMachine, params: VerifyMitigationParams): FirmwareResult | undefined {
  const { subCommand, vector, dst } = params;
  const early =
    commandRefusal(machine, 'verifyMitigation', NAME) ?? lengthRefusal(params.length, VERIFY_MITIGATION_SIZE, NAME);
  if (early) return early;
  if (subCommand !== MITIGATION_COMMAND.STATUS && subCommand !== MITIGATION_COMMAND.VERIFY) {
    return refuse(VERIFY_SUB_COMMAND, { subCommand });
  }
  if ((vector & ~EMULATED_MITIGATIONS) !== 0n) {
    return refuse(VERIFY_VECTOR, { vector: hex(vector), supported: hex(EMULATED_MITIGATIONS) });
  }
  if (dst === undefined) return undefined;
  const field = 'DST_PADDR';
  const wrongPage = outputRefusal(machine, NAME, field, dst);
  if (wrongPage || (dst % PAGE_SIZE) + RESULT_SIZE <= PAGE_SIZE) return wrongPage;
  return refuse(OUTPUT_CROSSES_PAGE, { field, address: hex(dst), size: RESULT_SIZE }, NAME);
}

/** SNP_VERIFY_MITIGATION (0x0B2): CURRENT_MIT_VECTOR of reports is what it has verified. The emulated check succeeds. */
export function snpVerifyMitigation(machine: FirmwareMachine, params: VerifyMitigationParams): Op<FirmwareResult> {
  const args = { subCommand: params.subCommand, vector: hex(params.vector) };
  return inCommand(machine, NAME, { args }, function* () {
    const wrong = refusal(machine, params);
    if (wrong) return wrong;
    const { asp, memory, stack } = machine;
    if (params.subCommand === MITIGATION_COMMAND.VERIFY) {
      asp.mitigations |= params.vector;
      yield logEvent(stack, 'firmware', `mitigations ${hex(params.vector)} verified`);
    }
    if (params.dst !== undefined) {
      const bytes = new Uint8Array(RESULT_SIZE);
      view(bytes).setBigUint64(0, currentMitigations(machine), true);
      view(bytes).setBigUint64(8, EMULATED_MITIGATIONS, true);
      writeBytes(memory, params.dst, bytes);
    }
    return SUCCESS;
  });
}
