import type { Instruction } from '../../decoder/instruction.js';
import { exception, VECTOR } from '../../exception.js';
import { effectiveOffset } from '../operands.js';
import { CR0, has } from '../system-state.js';
import type { Vcpu } from '../vcpu.js';
import { X87Registers } from './registers.js';

/** What every x87 instruction has around it: availability, pending exceptions, and the pointers for a handler. */

export interface X87Context {
  readonly v: Vcpu;
  readonly i: Instruction;
  readonly r: X87Registers;
}
export type X87Operation = (context: X87Context) => void;

const CS = 1;

/** ST(i) of a register form. */
export const stackOperand = (i: Instruction): number => i.modrm & 7;

export function checkAvailable(v: Vcpu): void {
  if (has(v.state.cr0, CR0.EM | CR0.TS)) throw exception(VECTOR.NM);
}

/** An unmasked exception of an earlier instruction is delivered now: APM volume 2, section 8.2.17. */
export function checkPending(v: Vcpu, r: X87Registers): void {
  if (!r.pending) return;
  if (!has(v.state.cr0, CR0.NE)) throw v.missing('an x87 exception as an external interrupt (CR0.NE clear)');
  throw exception(VECTOR.MF);
}

/** Instructions that do not look at pending exceptions, and leave the pointers alone. */
export const control = (operation: X87Operation) => (v: Vcpu, i: Instruction) => {
  checkAvailable(v);
  operation({ v, i, r: new X87Registers(v.cpu.view) });
};

/** Control instructions that do: FLDCW, FLDENV, FRSTOR. */
export const waiting = (operation: X87Operation) =>
  control((context) => {
    checkPending(context.v, context.r);
    operation(context);
  });

/** All others leave their own address behind, and that of their operand. */
export const numeric = (operation: X87Operation) =>
  waiting((context) => {
    const { v, i, r } = context;
    const isMemory = i.modrm < 0xc0;
    const data = isMemory
      ? { offset: effectiveOffset(v, i), selector: v.registers.segment(i.segment).selector }
      : undefined;
    operation(context);
    r.opcode = ((i.opcode & 7) << 8) | i.modrm;
    r.instruction = { offset: v.cpu.instructionRip, selector: v.registers.segment(CS).selector };
    if (data) r.data = data;
  });
