import { hex } from '../../engine/address.js';
import type { Fault } from '../../engine/fault.js';
import type { GuestExit } from '../../engine/timeline/run.js';

/** How the guest ended, in a sentence; the fault, where there is one, is reported beside it. */
export function endingText(exit: GuestExit, instructions: number): string {
  return `${sentence(exit)} It executed ${instructions.toLocaleString('en-US')} instruction${instructions === 1 ? '' : 's'}.\n`;
}

function sentence(exit: GuestExit): string {
  switch (exit.reason) {
    case 'termination':
      return `The guest asked to be ended: ${withoutStop(exit.meaning)} (reason set ${hex(exit.set)}, code ${hex(exit.code)}).`;
    case 'shutdown':
      return 'The guest shut down: an exception could not be delivered, nor the double fault after it (triple fault).';
    case 'power-off':
      return 'The guest switched the machine off.';
    case 'reset':
      return 'The guest reset the machine, which an SNP guest cannot survive: the launch ends here.';
    case 'halted':
      return 'Every vCPU waits, and nothing is left that could wake one.';
    case 'fault':
      return 'The guest cannot go on.';
    case 'limit':
      return `The guest was stopped: it may execute ${exit.instructions} instructions.`;
  }
}

function withoutStop(text: string): string {
  return text.endsWith('.') ? text.slice(0, -1) : text;
}

export function endingFault(exit: GuestExit | undefined): Fault | undefined {
  return exit && 'fault' in exit ? exit.fault : undefined;
}
