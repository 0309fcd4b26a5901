import { type Fault, rootFault } from '../fault.js';
import { faultJson, type JsonObject } from './format.js';
import type { GuestExit } from './run.js';

/** How a guest ended, in words and as a plain object. */

/** Did the guest end without a failure that is known? A limit that was asked for is none. */
export function isOrderly(exit: GuestExit): boolean {
  return !('fault' in exit && exit.fault);
}

/** One line, without the fault's own text. */
export function guestExitText(exit: GuestExit): string {
  switch (exit.reason) {
    case 'termination':
      return `the guest asked for its termination: reason set ${exit.set}, code ${exit.code} (${exit.meaning})`;
    case 'shutdown':
      return 'the guest shut down: an exception could not be delivered, and neither could the double fault (triple fault)';
    case 'power-off':
      return 'the guest switched the machine off';
    case 'reset':
      return 'the guest reset the machine';
    case 'halted':
      return 'every vCPU waits, and nothing is left that could wake one';
    case 'limit':
      return `the limit of ${exit.instructions.toLocaleString('en-US')} instructions was reached`;
    case 'fault':
      return `the guest could not go on: ${rootFault(exit.fault).title}`;
  }
}

export function guestExitJson(exit: GuestExit): JsonObject {
  const fault: Fault | undefined = 'fault' in exit ? exit.fault : undefined;
  const text = { text: guestExitText(exit), ...(fault ? { fault: faultJson(fault) } : {}) };
  switch (exit.reason) {
    case 'termination':
      return { reason: exit.reason, set: exit.set, code: exit.code, meaning: exit.meaning, ...text };
    case 'limit':
      return { reason: exit.reason, instructions: exit.instructions, ...text };
    default:
      return { reason: exit.reason, ...text };
  }
}
