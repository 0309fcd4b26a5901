import { defineFault, type Fault, type FaultCode, type FaultDefinition, makeFault, type Operands } from '../fault.js';
import type { Machine } from '../machine.js';
import { FIRMWARE_STATUS, type FirmwareStatusName, firmwareStatusName } from '../spec/firmware-status.js';
import { type FrameOptions, inFrame, type Op } from '../timeline/event.js';

/** What the mailbox returns, with the fault that says why. */
export interface FirmwareResult {
  /** A value of FIRMWARE_STATUS. */
  readonly status: number;
  readonly fault?: Fault;
}

/** What the secure processor works on: everything but KVM and the VMM. A Machine is one. */
export type FirmwareMachine = Pick<
  Machine,
  'processor' | 'firmware' | 'crypto' | 'random' | 'memory' | 'rmp' | 'asp' | 'stack'
>;

/** A firmware command: yields its RMP and digest changes. */
export type FirmwareCommand<P> = (machine: FirmwareMachine, params: P) => Op<FirmwareResult>;

export const SUCCESS: FirmwareResult = { status: FIRMWARE_STATUS.SUCCESS };

/** A FaultCode for a command that returns this status. */
export function status(name: FirmwareStatusName): FaultCode {
  return { kind: 'firmware', name, value: FIRMWARE_STATUS[name] };
}

/** The result of a fault: its status code. */
export function refused(fault: Fault): FirmwareResult {
  return { status: fault.code.kind === 'firmware' ? fault.code.value : FIRMWARE_STATUS.INVALID_PARAM, fault };
}

/** The result of a failed check of `command`, which replaces the family name in checks that commands share. */
export function refuse<O extends Operands>(
  definition: FaultDefinition<O>,
  operands: O,
  command: string = definition.command,
): FirmwareResult {
  return refused({ ...makeFault(definition, operands), command });
}

function describe(result: FirmwareResult): { result: string; fault?: Fault } {
  const name = firmwareStatusName(result.status) ?? `status 0x${result.status.toString(16)}`;
  return result.fault ? { result: name, fault: result.fault } : { result: name };
}

export const RESTORE_REQUIRED = defineFault({
  check: 'fw-restore-required',
  layer: 'firmware',
  command: 'SNP_*',
  code: status('RESTORE_REQUIRED'),
  title: 'A firmware update failed half way',
  message: () => 'The last firmware update could not be completed; only SNP_DOWNLOAD_FIRMWARE_EX works now.',
  why: 'Part of the old firmware is already replaced. Until a whole image is installed, nothing that the firmware would answer could be trusted.',
  hint: 'Run SNP_DOWNLOAD_FIRMWARE_EX with a good image.',
  reference: 'AMD pub. 56860, SNP_DOWNLOAD_FIRMWARE_EX',
  confirmed: false,
});

/** The one command that repairs a failed update. */
export const DOWNLOAD_FIRMWARE_EX = 'SNP_DOWNLOAD_FIRMWARE_EX';

/** Runs a command as a frame of the firmware layer. */
export function inCommand(
  machine: FirmwareMachine,
  name: string,
  options: FrameOptions,
  body: () => Op<FirmwareResult>,
): Op<FirmwareResult> {
  return inFrame(machine.stack, 'firmware', name, options, () => run(machine, name, body), describe);
}

function* run(machine: FirmwareMachine, name: string, body: () => Op<FirmwareResult>): Op<FirmwareResult> {
  if (machine.asp.restoreRequired && name !== DOWNLOAD_FIRMWARE_EX) return refuse(RESTORE_REQUIRED, {}, name);
  return yield* body();
}
