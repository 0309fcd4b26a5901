import { exception, VECTOR } from '../exception.js';
import type { SegmentState } from '../state/registers.js';
import {
  innerStack,
  longPointer,
  longStack,
  nullStack,
  privilegeIndex,
  type StackWriter,
  sameStack,
} from './inner-stack.js';
import { segmentOffset } from './operands.js';
import { isCanonical } from './paging.js';
import {
  ATTRIBUTE,
  accessed,
  checkCodeMode,
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  readDescriptor,
  selectorFault,
} from './segments.js';
import { has, isLongMode } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** Far jumps and calls through call gates: APM volume 2, section 4.11.2, and volume 3, CALL and JMP far. */

const RSP = 4;
const [CS, SS] = [1, 2];
/** Types of a call gate: of the 80286, and of 32 or 64 bits. */
const GATE16 = 4;
const GATE = 12;

interface CallGate {
  readonly selector: number;
  readonly offset: bigint;
  /** Bytes of what is pushed. */
  readonly bytes: 2 | 4 | 8;
  /** Parameters to copy to an inner stack. */
  readonly count: number;
}

export function isCallGate(v: Vcpu, { attributes }: Descriptor): boolean {
  const type = attributes & 0x1f;
  return type === GATE || (type === GATE16 && !isLongMode(v.state));
}

function readGate(v: Vcpu, d: Descriptor): CallGate {
  const dpl = dplOf(d.attributes);
  if (v.state.cpl > dpl || (d.selector & 3) > dpl) throw selectorFault(VECTOR.GP, d.selector);
  const { raw } = d;
  const selector = Number((raw >> 16n) & 0xffffn);
  const low = raw & 0xffffn;
  if (isLongMode(v.state)) {
    const upper = v.readLinear(d.at + 8n, 8, true);
    if (((upper >> 40n) & 0x1fn) !== 0n) throw selectorFault(VECTOR.GP, d.selector);
    if (!has(d.attributes, ATTRIBUTE.present)) throw selectorFault(VECTOR.NP, d.selector);
    return { selector, offset: low | ((raw >> 48n) << 16n) | ((upper & 0xffff_ffffn) << 32n), bytes: 8, count: 0 };
  }
  if (!has(d.attributes, ATTRIBUTE.present)) throw selectorFault(VECTOR.NP, d.selector);
  const count = Number((raw >> 32n) & 0x1fn);
  return (d.attributes & 0x1f) === GATE
    ? { selector, offset: low | ((raw >> 48n) << 16n), bytes: 4, count }
    : { selector, offset: low, bytes: 2, count };
}

/** The code segment behind the gate; its privilege may be an inner one for calls. */
function codeBehind(v: Vcpu, { selector }: CallGate, isCall: boolean): Descriptor {
  if ((selector & 0xfffc) === 0) throw exception(VECTOR.GP, { errorCode: 0 });
  const d = readDescriptor(v, selector);
  const dpl = dplOf(d.attributes);
  const { cpl } = v.state;
  const reachable = isCall || isConforming(d.attributes) ? dpl <= cpl : dpl === cpl;
  if (!isCode(d.attributes) || !reachable) throw selectorFault(VECTOR.GP, selector);
  if (isLongMode(v.state) && !has(d.attributes, ATTRIBUTE.long)) throw selectorFault(VECTOR.GP, selector);
  checkCodeMode(v, d);
  if (!has(d.attributes, ATTRIBUTE.present)) throw selectorFault(VECTOR.NP, selector);
  return d;
}

function checkOffset(v: Vcpu, segment: SegmentState, offset: bigint): void {
  const reachable = isLongMode(v.state) ? isCanonical(offset) : offset <= BigInt(segment.limit);
  if (!reachable) throw exception(VECTOR.GP, { errorCode: 0 });
}

function enter(v: Vcpu, segment: SegmentState, cpl: number, offset: bigint): void {
  v.registers.setSegment(CS, { ...segment, selector: (segment.selector & 0xfffc) | cpl });
  v.registers.rip = offset;
  v.state.cpl = cpl;
  v.modeChanged();
}

export function jumpThroughGate(v: Vcpu, d: Descriptor): void {
  const gate = readGate(v, d);
  const segment = accessed(v, codeBehind(v, gate, false));
  checkOffset(v, segment, gate.offset);
  enter(v, segment, v.state.cpl, gate.offset);
}

/** Parameters of the caller, the last pushed first, as words of the gate's size. */
function parameters(v: Vcpu, { bytes, count }: CallGate): bigint[] {
  const mask = (1n << BigInt(v.stackSize)) - 1n;
  const pointer = v.registers.get(RSP);
  return Array.from({ length: count }, (_, n) => {
    const at = (pointer + BigInt(n * bytes)) & mask;
    return v.readLinear(segmentOffset(v, SS, at, bytes, false), bytes);
  });
}

export function callThroughGate(v: Vcpu, d: Descriptor): void {
  const { registers, state } = v;
  const gate = readGate(v, d);
  const code = codeBehind(v, gate, true);
  const cpl = isConforming(code.attributes) ? state.cpl : dplOf(code.attributes);
  const segment = accessed(v, code);
  const old = registers.segment(SS);
  let stack: StackWriter;
  let ss = old;
  if (cpl === state.cpl) stack = isLongMode(state) ? longStack(v, registers.get(RSP), cpl) : sameStack(v);
  else {
    if (isLongMode(state)) {
      stack = longStack(v, longPointer(v, privilegeIndex(cpl)), cpl);
      ss = nullStack(cpl);
    } else ({ stack, segment: ss } = innerStack(v, cpl));
    const copied = parameters(v, gate);
    stack.push(BigInt(old.selector), gate.bytes);
    stack.push(registers.get(RSP), gate.bytes);
    for (const value of copied.reverse()) stack.push(value, gate.bytes);
  }
  stack.push(BigInt(registers.segment(CS).selector), gate.bytes);
  stack.push(registers.rip, gate.bytes);
  checkOffset(v, segment, gate.offset);
  // Nothing can fault from here on.
  if (ss !== old) registers.setSegment(SS, ss);
  enter(v, segment, cpl, gate.offset);
  registers.set(RSP, stack.pointer);
}
