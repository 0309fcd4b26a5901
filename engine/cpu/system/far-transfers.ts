import type { Instruction } from '../decoder/instruction.js';
import { exception, VECTOR } from '../exception.js';
import { RFLAGS } from '../semantics/flags.js';
import type { SegmentState } from '../state/registers.js';
import { callThroughGate, isCallGate, jumpThroughGate } from './call-gates.js';
import { readMemory, segmentOffset } from './operands.js';
import { isCanonical } from './paging.js';
import {
  ATTRIBUTE,
  accessed,
  checkCodeMode,
  codeSegmentForJump,
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  readDescriptor,
  realSegment,
  selectorFault,
  transferDescriptor,
} from './segments.js';
import { has, isLongMode, isProtected } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** Far jumps, calls, returns and IRET: APM volume 3. Tasks are not here. */

const RSP = 4;
const CS = 1;
const SS = 2;

function farPointer(v: Vcpu, i: Instruction): { selector: number; offset: bigint } {
  if (i.encoding?.operands[0] === 'Ap') {
    return { selector: i.immediate2, offset: BigInt.asUintN(i.operandSize * 8, BigInt(i.immediate)) };
  }
  // AMD reads 32 bits of offset even with REX.W.
  const bytes = i.operandSize === 2 ? 2 : 4;
  const offset = readMemory(v, i, bytes);
  return { selector: Number(readMemory(v, i, 2, BigInt(bytes))), offset };
}

/** A code segment, or what a call gate does. */
function codeSegment(v: Vcpu, selector: number, gate: (v: Vcpu, d: Descriptor) => void): SegmentState | undefined {
  if (!isProtected(v.state)) return realSegment(v.registers.segment(CS), selector);
  const d = transferDescriptor(v, selector);
  if (!isCallGate(v, d)) return codeSegmentForJump(v, d);
  gate(v, d);
  return undefined;
}

function enterCode(v: Vcpu, segment: SegmentState, offset: bigint): void {
  const wide = isLongMode(v.state) && has(segment.attributes, ATTRIBUTE.long);
  if (!wide && offset > BigInt(segment.limit)) throw exception(VECTOR.GP, { errorCode: 0 });
  v.registers.setSegment(CS, segment);
  v.registers.rip = offset;
  v.modeChanged();
}

export function jumpFar(v: Vcpu, i: Instruction): void {
  const { selector, offset } = farPointer(v, i);
  const segment = codeSegment(v, selector, jumpThroughGate);
  if (segment) enterCode(v, segment, offset);
}

/** Stack accesses of the mode the processor is in; nothing is committed before `done`. */
export class Stack {
  private pointer: bigint;
  private readonly mask: bigint;

  constructor(private readonly v: Vcpu) {
    this.mask = (1n << BigInt(v.stackSize)) - 1n;
    this.pointer = v.registers.get(RSP) & this.mask;
  }

  push(value: bigint, bytes: number): void {
    this.pointer = (this.pointer - BigInt(bytes)) & this.mask;
    const at = segmentOffset(this.v, SS, this.pointer, bytes, true);
    this.v.writeLinear(at, bytes, BigInt.asUintN(bytes * 8, value));
  }
  pop(bytes: number): bigint {
    const value = this.v.readLinear(segmentOffset(this.v, SS, this.pointer, bytes, false), bytes);
    this.skip(bytes);
    return value;
  }
  skip(bytes: number): void {
    this.pointer = (this.pointer + BigInt(bytes)) & this.mask;
  }
  done(): void {
    const { registers } = this.v;
    const kept = this.mask === 0xffffn ? registers.get(RSP) & ~0xffffn : 0n;
    registers.set(RSP, kept | this.pointer);
  }
}

export function callFar(v: Vcpu, i: Instruction): void {
  const { selector, offset } = farPointer(v, i);
  const segment = codeSegment(v, selector, callThroughGate);
  if (!segment) return;
  const stack = new Stack(v);
  stack.push(BigInt(v.registers.segment(CS).selector), i.operandSize);
  stack.push(v.registers.rip, i.operandSize);
  enterCode(v, segment, offset);
  stack.done();
}

/** Code segment of a return, which may lead to an outer privilege. */
function returnSegment(v: Vcpu, selector: number): SegmentState {
  if ((selector & 0xfffc) === 0) throw exception(VECTOR.GP, { errorCode: 0 });
  const d = readDescriptor(v, selector);
  const rpl = selector & 3;
  const dpl = dplOf(d.attributes);
  const fits = isConforming(d.attributes) ? dpl <= rpl : dpl === rpl;
  if (!isCode(d.attributes) || rpl < v.state.cpl || !fits) throw selectorFault(VECTOR.GP, selector);
  checkCodeMode(v, d);
  if (!has(d.attributes, ATTRIBUTE.present)) throw selectorFault(VECTOR.NP, selector);
  return accessed(v, d);
}

function returnStack(v: Vcpu, selector: number, cpl: number, toLong: boolean): SegmentState {
  if ((selector & 0xfffc) === 0) {
    if (!toLong || cpl === 3) throw exception(VECTOR.GP, { errorCode: 0 });
    return { selector, attributes: cpl << 5, limit: 0, base: 0n };
  }
  const d = readDescriptor(v, selector);
  const fits = (selector & 3) === cpl && dplOf(d.attributes) === cpl && (d.attributes & 0x1a) === 0x12;
  if (!fits) throw selectorFault(VECTOR.GP, selector);
  if (!has(d.attributes, ATTRIBUTE.present)) throw selectorFault(VECTOR.SS, selector);
  return accessed(v, d);
}

/** An outer privilege may not keep data segments of an inner one. */
function dropInnerSegments(v: Vcpu): void {
  for (const n of [0, 3, 4, 5]) {
    const { attributes } = v.registers.segment(n);
    const inner = dplOf(attributes) < v.state.cpl && !isConforming(attributes);
    if (has(attributes, ATTRIBUTE.present) && inner) {
      v.registers.setSegment(n, { selector: 0, attributes: 0, limit: 0, base: 0n });
    }
  }
}

interface Frame {
  readonly rip: bigint;
  readonly selector: number;
  readonly flags: number | undefined;
  readonly bytes: number;
  /** Bytes of parameters that RETF n removes. */
  readonly extra: number;
}

function returnTo(v: Vcpu, stack: Stack, frame: Frame, popsStackAlways: boolean): void {
  const { registers, state } = v;
  const segment = returnSegment(v, frame.selector);
  const cpl = frame.selector & 3;
  const outer = cpl > state.cpl;
  stack.skip(frame.extra);
  const toLong = isLongMode(state) && has(segment.attributes, ATTRIBUTE.long);
  const reachable = toLong ? isCanonical(frame.rip) : frame.rip <= BigInt(segment.limit);
  if (!reachable) throw exception(VECTOR.GP, { errorCode: 0 });
  if (outer || popsStackAlways) {
    const rsp = stack.pop(frame.bytes);
    const selector = Number(stack.pop(frame.bytes) & 0xffffn);
    const ss = returnStack(v, selector, cpl, toLong);
    registers.setSegment(SS, ss);
    const narrow = !toLong && !has(ss.attributes, ATTRIBUTE.big);
    // RETF n also removes the parameters from the outer stack.
    const pointer = rsp + BigInt(frame.extra);
    if (narrow) registers.set(RSP, (registers.get(RSP) & ~0xffffn) | (pointer & 0xffffn));
    else registers.set(RSP, BigInt.asUintN(v.codeSize === 64 || toLong ? 64 : 32, pointer));
  } else stack.done();
  if (frame.flags !== undefined) setReturnFlags(v, frame.flags, frame.bytes);
  registers.setSegment(CS, segment);
  registers.rip = frame.rip;
  state.cpl = cpl;
  if (outer) dropInnerSegments(v);
  v.modeChanged();
}

/** IOPL changes only at CPL 0, IF only where CPL may change it. */
export function setReturnFlags(v: Vcpu, value: number, bytes: number): void {
  const { registers, state } = v;
  const old = registers.flags;
  const iopl = (old >> 12) & 3;
  // RF counts for one instruction, and only where that has a breakpoint.
  if (!v.cpu.hasInstructionBreakpoints) value &= ~RFLAGS.RF;
  let changeable = 0x4dd5 | RFLAGS.RF | RFLAGS.AC | RFLAGS.ID;
  if (bytes === 2) changeable &= 0xffff;
  if (!isProtected(state) || state.cpl === 0) changeable |= RFLAGS.IOPL;
  if (!isProtected(state) || state.cpl <= iopl) changeable |= RFLAGS.IF;
  registers.flags = (old & ~changeable) | (value & changeable) | 2;
}

export function returnFar(v: Vcpu, i: Instruction): void {
  const bytes = i.operandSize;
  const stack = new Stack(v);
  const rip = stack.pop(bytes);
  const selector = Number(stack.pop(bytes) & 0xffffn);
  const extra = i.encoding?.operands.length === 1 ? i.immediate : 0;
  if (isProtected(v.state)) {
    returnTo(v, stack, { rip, selector, flags: undefined, bytes, extra }, false);
    return;
  }
  stack.skip(extra);
  enterCode(v, realSegment(v.registers.segment(CS), selector), rip);
  stack.done();
}

export function interruptReturn(v: Vcpu, i: Instruction): void {
  const bytes = i.operandSize;
  if (isProtected(v.state) && has(v.registers.flags, RFLAGS.NT)) {
    if (isLongMode(v.state)) throw exception(VECTOR.GP, { errorCode: 0 });
    throw v.missing('the return from a nested task (IRET with RFLAGS.NT)');
  }
  const stack = new Stack(v);
  const rip = stack.pop(bytes);
  const selector = Number(stack.pop(bytes) & 0xffffn);
  const flags = Number(stack.pop(bytes) & 0xffff_ffffn);
  if (isProtected(v.state)) {
    const toVirtual = !isLongMode(v.state) && v.state.cpl === 0 && bytes === 4 && has(flags, RFLAGS.VM);
    if (toVirtual) throw v.missing('virtual-8086 mode (IRET with RFLAGS.VM)');
    // IRET of 64-bit mode takes RSP and SS even within one privilege.
    returnTo(v, stack, { rip, selector, flags, bytes, extra: 0 }, v.codeSize === 64);
    return;
  }
  enterCode(v, realSegment(v.registers.segment(CS), selector), rip);
  stack.done();
  setReturnFlags(v, flags, bytes);
}
