import type { Fault } from '../fault.js';
import type { Machine } from '../machine.js';
import { FIRMWARE_STATUS } from '../spec/firmware-status.js';
import type { Op } from '../timeline/event.js';

/** What the mailbox returns, with the fault that says why. */
export interface FirmwareResult {
  /** A value of FIRMWARE_STATUS. */
  readonly status: number;
  readonly fault?: Fault;
}

/** A firmware command: yields its RMP and digest changes. */
export type FirmwareCommand<P> = (machine: Machine, params: P) => Op<FirmwareResult>;

export const SUCCESS: FirmwareResult = { status: FIRMWARE_STATUS.SUCCESS };
