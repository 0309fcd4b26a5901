import type { Instruction } from '../../decoder/instruction.js';
import { exception, VECTOR } from '../../exception.js';
import { CR0, has } from '../system-state.js';
import type { Vcpu } from '../vcpu.js';
import { ARITHMETIC } from './arithmetic.js';
import { CONTROL, WAITING_CONTROL } from './environment.js';
import { checkPending, control, numeric, waiting, type X87Operation } from './instruction.js';
import { OPERATIONS } from './operations.js';
import { X87Registers } from './registers.js';
import { TRANSCENDENTALS } from './transcendentals.js';
import { TRANSFERS } from './transfers.js';

/** All x87 instructions by their `semantics`. */

type SystemInstruction = (v: Vcpu, i: Instruction) => void;

function all(
  operations: Readonly<Record<string, X87Operation>>,
  wrap: (operation: X87Operation) => SystemInstruction,
): Record<string, SystemInstruction> {
  return Object.fromEntries(Object.entries(operations).map(([name, operation]) => [name, wrap(operation)]));
}

export const X87_INSTRUCTIONS: Readonly<Record<string, SystemInstruction>> = {
  ...all(ARITHMETIC, numeric),
  ...all(TRANSFERS, numeric),
  ...all(OPERATIONS, numeric),
  ...all(TRANSCENDENTALS, numeric),
  ...all(CONTROL, control),
  ...all(WAITING_CONTROL, waiting),
  FWAIT: (v) => {
    if (has(v.state.cr0, CR0.MP) && has(v.state.cr0, CR0.TS)) throw exception(VECTOR.NM);
    checkPending(v, new X87Registers(v.cpu.view));
  },
};
