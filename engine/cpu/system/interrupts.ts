import { exception, VECTOR } from '../exception.js';
import { RFLAGS } from '../semantics/flags.js';
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
}

const RSP = 4;
const CS = 1;
const SS = 2;
const TR = 7;

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

/** Pushes where the stack is, below `top`; commits nothing. */
class StackWriter {
  constructor(
    private readonly v: Vcpu,
    private readonly base: bigint,
    private top: bigint,
    private readonly mask: bigint,
  ) {}

  push(value: bigint, bytes: number): void {
    this.top = (this.top - BigInt(bytes)) & this.mask;
    this.v.writeLinear(this.base + this.top, bytes, BigInt.asUintN(bytes * 8, value), true);
  }
  get pointer(): bigint {
    return this.top;
  }
}

const maskOf = (size: number): bigint => (1n << BigInt(size)) - 1n;

export function deliverEvent(v: Vcpu, event: Event): void {
  if (!isProtected(v.state)) deliverReal(v, event);
  else deliverProtected(v, event);
  v.state.shadowAt = -1;
}

function deliverReal(v: Vcpu, event: Event): void {
  const { registers, state } = v;
  const entry = event.vector * 4;
  if (entry + 3 > state.idtr.limit) throw gateFault(event.vector, event);
  const vector = v.readLinear(state.idtr.base + BigInt(entry), 4, true);
  const stack = new StackWriter(v, registers.segment(SS).base, registers.get(RSP) & 0xffffn, 0xffffn);
  stack.push(BigInt(registers.flags), 2);
  stack.push(BigInt(registers.segment(CS).selector), 2);
  stack.push(registers.rip, 2);
  registers.set(RSP, (registers.get(RSP) & ~0xffffn) | stack.pointer);
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

/** Stack of an inner privilege, or of the gate's IST entry, from the task state segment in long mode. */
function longStack(v: Vcpu, index: number): bigint {
  const tss = v.registers.segment(TR);
  if (index + 7 > tss.limit) throw selectorFault(VECTOR.TS, tss.selector);
  return v.readLinear(tss.base + BigInt(index), 8, true);
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
    if (gate.ist > 0) top = longStack(v, 0x1c + 8 * gate.ist);
    else if (inner) top = longStack(v, 4 + 8 * cpl);
    stack = new StackWriter(v, 0n, top & ~0xfn, maskOf(64));
    if (inner) newSs = { selector: cpl, attributes: cpl << 5, limit: 0, base: 0n };
  } else if (inner) {
    ({ stack, segment: newSs } = innerStack(v, cpl));
  } else {
    const size = v.stackSize;
    stack = new StackWriter(v, oldSs.base, registers.get(RSP) & maskOf(size), maskOf(size));
  }
  const bytes = long ? 8 : gate.wide ? 4 : 2;
  if (long || inner) {
    stack.push(BigInt(oldSs.selector), bytes);
    stack.push(registers.get(RSP), bytes);
  }
  stack.push(BigInt(registers.flags), bytes);
  stack.push(BigInt(registers.segment(CS).selector), bytes);
  stack.push(registers.rip, bytes);
  if (event.errorCode !== undefined) stack.push(BigInt(event.errorCode), bytes);
  // Nothing can fault from here on.
  if (newSs !== oldSs) registers.setSegment(SS, newSs);
  const oldSize = v.stackSize;
  registers.setSegment(CS, { ...accessed(v, code), selector: (gate.selector & 0xfffc) | cpl });
  registers.rip = gate.offset;
  state.cpl = cpl;
  registers.flags &= ~(RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM | (gate.interrupt ? RFLAGS.IF : 0));
  v.modeChanged();
  const keep = long || inner || oldSize !== 16 ? 0n : registers.get(RSP) & ~0xffffn;
  registers.set(RSP, keep | stack.pointer);
}

/** Stack of an inner privilege from a 16-bit or 32-bit task state segment. */
function innerStack(v: Vcpu, cpl: number) {
  const tss = v.registers.segment(TR);
  const bytes = (tss.attributes & 8) !== 0 ? 4 : 2;
  const at = bytes + 2 * bytes * cpl;
  if (at + 2 * bytes - 1 > tss.limit) throw selectorFault(VECTOR.TS, tss.selector);
  const esp = v.readLinear(tss.base + BigInt(at), bytes, true);
  const selector = Number(v.readLinear(tss.base + BigInt(at + bytes), 2, true));
  const d = readDescriptor(v, selector, VECTOR.TS);
  const fits = (selector & 3) === cpl && dplOf(d.attributes) === cpl && (d.attributes & 0x1a) === 0x12;
  if (!fits) throw selectorFault(VECTOR.TS, selector);
  if ((d.attributes & ATTRIBUTE.present) === 0) throw selectorFault(VECTOR.SS, selector);
  const segment = accessed(v, d);
  const mask = maskOf((d.attributes & ATTRIBUTE.big) !== 0 ? 32 : 16);
  return { stack: new StackWriter(v, segment.base, esp & mask, mask), segment };
}
