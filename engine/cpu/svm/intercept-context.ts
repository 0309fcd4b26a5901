import type { Machine } from '../../machine.js';
import type { Instruction } from '../decoder/instruction.js';
import type { Vcpu } from '../system/vcpu.js';
import type { Core, RunningGuest } from './core.js';

/** Where an instruction of the guest is executed. */
export interface InterceptContext {
  readonly machine: Machine;
  readonly core: Core;
  readonly guest: RunningGuest;
  readonly vcpu: Vcpu;
}

/** True if the instruction has been dealt with, false if the processor executes it as ever; it may throw. */
export type Intercept = (context: InterceptContext, instruction: Instruction) => boolean;

/** #VMEXIT after the instruction, which is done: the host continues behind it. */
export function exitAfter({ core, vcpu }: InterceptContext, code: bigint, info1 = 0n): true {
  core.exit = { code, info1, info2: 0n, done: true };
  vcpu.cpu.leave();
  return true;
}
