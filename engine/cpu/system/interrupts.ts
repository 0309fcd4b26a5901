import { exception, isGuestException, VECTOR } from '../exception.js';
import { RFLAGS } from '../semantics/flags.js';
import {
  innerStack,
  interruptStackIndex,
  longPointer,
  longStack,
  nullStack,
  privilegeIndex,
  type StackWriter,
  sameStack,
} from './inner-stack.js';
import {
  ATTRIBUTE,
  accessed,
  checkCodeMode,
  dplOf,
  isCode,
  isConforming,
  readDescriptor,
  realSegment,
  selectorFault,
} from './segments.js';
import { isLongMode, isProtected } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** Delivery of exceptions and interrupts: APM volume 2, chapter 8. */

export interface Event {
  readonly vector: number;
  readonly errorCode: number | undefined;
  /** INT n, INT3, INTO: the gate's DPL counts. */
  readonly software: boolean;
  /** A fault: RF in the image of RFLAGS lets its instruction run once without breakpoints. */
  readonly resumes?: boolean;
}

const RSP = 4;
const CS = 1;
const SS = 2;

interface Gate {
  readonly selector: number;
  readonly offset: bigint;
  /** Interrupt gate: clears IF. */
  readonly interrupt: boolean;
  readonly wide: boolean;
  readonly ist: number;
}

const gateFault = (vector: number, event: Event, code: number = VECTOR.GP) =>
  exception(code, { errorCode: vector * 8 + 2 + (event.software ? 0 : 1) });

/** Exceptions whose error code has EXT, bit 0: the event that could not be delivered was none of the program's. */
const TELLS_EXTERNAL: readonly number[] = [VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP];

export function deliverEvent(v: Vcpu, event: Event): void {
  if (!isProtected(v.state)) deliverReal(v, event);
  else {
    try {
      deliverProtected(v, event);
    } catch (thrown) {
      if (event.software || !isGuestException(thrown) || !TELLS_EXTERNAL.includes(thrown.vector)) throw thrown;
      throw { ...thrown, errorCode: (thrown.errorCode ?? 0) | 1 };
    }
  }
  v.state.shadowAt = -1;
}

function deliverReal(v: Vcpu, event: Event): void {
  const { registers, state } = v;
  const entry = event.vector * 4;
  if (entry + 3 > state.idtr.limit) throw gateFault(event.vector, event);
  const vector = v.readLinear(state.idtr.base + BigInt(entry), 4, true);
  const stack = sameStack(v);
  stack.push(BigInt(registers.flags), 2);
  stack.push(BigInt(registers.segment(CS).selector), 2);
  stack.push(registers.rip, 2);
  registers.set(RSP, stack.pointer);
  registers.flags &= ~(RFLAGS.IF | RFLAGS.TF | RFLAGS.AC);
  registers.setSegment(CS, realSegment(registers.segment(CS), Number(vector >> 16n)));
  registers.rip = vector & 0xffffn;
  v.modeChanged();
}

function readGate(v: Vcpu, event: Event): Gate {
  const { idtr, cpl } = v.state;
  const long = isLongMode(v.state);
  const size = long ? 16 : 8;
  const entry = event.vector * size;
  if (entry + size - 1 > idtr.limit) throw gateFault(event.vector, event);
  const raw = v.readLinear(idtr.base + BigInt(entry), 8, true);
  const type = Number((raw >> 40n) & 0x1fn);
  const dpl = Number((raw >> 45n) & 3n);
  // 0xE and 0xF: interrupt and trap gate; 6 and 7: their 16-bit forms, outside of long mode only.
  const known = type === 0xe || type === 0xf || (!long && (type === 6 || type === 7));
  if (!long && type === 5 && !(event.software && dpl < cpl)) throw v.missing('a task gate in the interrupt table');
  if (!known || (event.software && dpl < cpl)) throw gateFault(event.vector, event);
  if ((raw & (1n << 47n)) === 0n) throw gateFault(event.vector, event, VECTOR.NP);
  const upper = long ? v.readLinear(idtr.base + BigInt(entry + 8), 4, true) : 0n;
  const wide = (type & 8) !== 0;
  return {
    selector: Number((raw >> 16n) & 0xffffn),
    offset: (raw & 0xffffn) | (wide ? ((raw >> 48n) << 16n) | (upper << 32n) : 0n),
    interrupt: (type & 1) === 0,
    wide,
    ist: long ? Number((raw >> 32n) & 7n) : 0,
  };
}

function deliverProtected(v: Vcpu, event: Event): void {
  const { registers, state } = v;
  const long = isLongMode(state);
  const gate = readGate(v, event);
  if ((gate.selector & 0xfffc) === 0) throw exception(VECTOR.GP, { errorCode: event.software ? 0 : 1 });
  const code = readDescriptor(v, gate.selector);
  const dpl = dplOf(code.attributes);
  if (!isCode(code.attributes) || dpl > state.cpl) throw selectorFault(VECTOR.GP, gate.selector);
  if (long && (code.attributes & ATTRIBUTE.long) === 0) throw selectorFault(VECTOR.GP, gate.selector);
  checkCodeMode(v, code);
  if ((code.attributes & ATTRIBUTE.present) === 0) throw selectorFault(VECTOR.NP, gate.selector);
  const cpl = isConforming(code.attributes) ? state.cpl : dpl;
  const inner = cpl < state.cpl;
  const oldSs = registers.segment(SS);
  let newSs = oldSs;
  let stack: StackWriter;
  if (long) {
    let top = registers.get(RSP);
    if (gate.ist > 0) top = longPointer(v, interruptStackIndex(gate.ist));
    else if (inner) top = longPointer(v, privilegeIndex(cpl));
    stack = longStack(v, top & ~0xfn, cpl);
    if (inner) newSs = nullStack(cpl);
  } else if (inner) {
    ({ stack, segment: newSs } = innerStack(v, cpl));
  } else stack = sameStack(v);
  const bytes = long ? 8 : gate.wide ? 4 : 2;
  if (long || inner) {
    stack.push(BigInt(oldSs.selector), bytes);
    stack.push(registers.get(RSP), bytes);
  }
  stack.push(BigInt(registers.flags | (event.resumes ? RFLAGS.RF : 0)), bytes);
  stack.push(BigInt(registers.segment(CS).selector), bytes);
  stack.push(registers.rip, bytes);
  if (event.errorCode !== undefined) stack.push(BigInt(event.errorCode), bytes);
  // Nothing can fault from here on.
  if (newSs !== oldSs) registers.setSegment(SS, newSs);
  registers.setSegment(CS, { ...accessed(v, code), selector: (gate.selector & 0xfffc) | cpl });
  registers.rip = gate.offset;
  state.cpl = cpl;
  registers.flags &= ~(RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM | (gate.interrupt ? RFLAGS.IF : 0));
  v.modeChanged();
  registers.set(RSP, stack.pointer);
}
