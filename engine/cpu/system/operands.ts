import { type Instruction, type Operand, OperandPlace } from '../decoder/instruction.js';
import { exception, VECTOR } from '../exception.js';
import { PAGE } from '../state/layout.js';
import { isCanonical } from './paging.js';
import type { Vcpu } from './vcpu.js';

/** Operands of instructions that are written in TypeScript. */

const SS = 2;
const FS = 4;

/** Linear address of an offset in a segment, with the checks of the mode. */
export function segmentOffset(v: Vcpu, n: number, offset: bigint, bytes: number, write: boolean): bigint {
  const { base, attributes, limit } = v.registers.segment(n);
  if (v.codeSize === 64) {
    const linear = BigInt.asUintN(64, n >= FS ? base + offset : offset);
    if (!isCanonical(linear) || !isCanonical(BigInt.asUintN(64, linear + BigInt(bytes - 1))))
      throw exception(n === SS ? VECTOR.SS : VECTOR.GP, { errorCode: 0 });
    return linear;
  }
  const isCode = (attributes & 8) !== 0;
  const allowed =
    (attributes & 0x80) !== 0 && (write ? !isCode && (attributes & 2) !== 0 : !isCode || (attributes & 2) !== 0);
  const down = !isCode && (attributes & 4) !== 0;
  const top = (attributes & 0x400) !== 0 ? 0xffff_ffffn : 0xffffn;
  const last = offset + BigInt(bytes - 1);
  const inside = down ? offset > BigInt(limit) && last <= top : last <= BigInt(limit);
  if (!allowed || !inside) throw exception(n === SS ? VECTOR.SS : VECTOR.GP, { errorCode: 0 });
  return BigInt.asUintN(32, base + offset);
}

/** Offset of the memory operand in its segment. */
export function effectiveOffset(v: Vcpu, i: Instruction): bigint {
  const { registers } = v;
  let offset = (BigInt(i.displacementHigh) << 32n) | BigInt(i.displacement >>> 0);
  if (i.ripRelative) offset += registers.rip;
  if (i.base >= 0) offset += registers.get(i.base);
  if (i.index >= 0) offset += registers.get(i.index) << BigInt(i.scale);
  return BigInt.asUintN(i.addressSize, offset);
}

export function readMemory(v: Vcpu, i: Instruction, bytes: number, extra = 0n): bigint {
  const offset = BigInt.asUintN(i.addressSize, effectiveOffset(v, i) + extra);
  return v.readLinear(segmentOffset(v, i.segment, offset, bytes, false), bytes);
}

export function writeMemory(v: Vcpu, i: Instruction, bytes: number, value: bigint, extra = 0n): void {
  const offset = BigInt.asUintN(i.addressSize, effectiveOffset(v, i) + extra);
  v.writeLinear(segmentOffset(v, i.segment, offset, bytes, true), bytes, value);
}

/** General register, memory or immediate, zero-extended. */
export function readOperand(v: Vcpu, i: Instruction, n: 0 | 1 | 2): bigint {
  const operand = i.operands[n];
  switch (operand.place) {
    case OperandPlace.memory:
      return readMemory(v, i, operand.size);
    case OperandPlace.immediate:
      return BigInt.asUintN(operand.size * 8, BigInt(n === 0 || i.immediate2 === 0 ? i.immediate : i.immediate2));
    default:
      return readRegister(v, operand);
  }
}

function readRegister(v: Vcpu, { register, size, highByte }: Operand): bigint {
  const value = v.registers.get(register);
  return BigInt.asUintN(size * 8, highByte ? value >> 8n : value);
}

export function writeOperand(v: Vcpu, i: Instruction, n: 0 | 1 | 2, value: bigint): void {
  const operand = i.operands[n];
  if (operand.place === OperandPlace.memory) writeMemory(v, i, operand.size, value);
  else setRegister(v, operand.register, operand.size, value);
}

/** 32 bits clear the upper half, 8 and 16 leave the rest. */
export function setRegister(v: Vcpu, register: number, bytes: number, value: bigint): void {
  const bits = BigInt(bytes * 8);
  const mask = (1n << bits) - 1n;
  const kept = bytes >= 4 ? 0n : v.registers.get(register) & ~mask;
  v.registers.set(register, kept | (value & mask));
}

/** Linear memory offsets of a range in the operand's segment, cut at page boundaries; nothing is accessed yet. */
function pieces(v: Vcpu, i: Instruction, alignment: number, count: number, access: 'read' | 'write', extra = 0n) {
  const offset = BigInt.asUintN(i.addressSize, effectiveOffset(v, i) + extra);
  const linear = segmentOffset(v, i.segment, offset, count, access === 'write');
  if (alignment > 1 && linear % BigInt(alignment) !== 0n) throw exception(VECTOR.GP, { errorCode: 0 });
  const here = Math.min(count, PAGE - Number(linear & BigInt(PAGE - 1)));
  const out = [{ at: v.cpu.dataOffset(linear, access, here), from: 0, to: here }];
  if (here < count)
    out.push({
      at: v.cpu.dataOffset(BigInt.asUintN(64, linear + BigInt(here)), access, count - here),
      from: here,
      to: count,
    });
  return out;
}

/** Fault as an access would; nothing is read or written. */
export function probeByte(v: Vcpu, i: Instruction, at: number, access: 'read' | 'write'): void {
  pieces(v, i, 1, 1, access, BigInt(at));
}
export function probeWrite(v: Vcpu, i: Instruction, count: number): void {
  for (let from = 0; from < count; from += 8) pieces(v, i, 1, Math.min(8, count - from), 'write', BigInt(from));
}

/** Ten bytes are accessed as eight and two. */
export function readTenBytes(v: Vcpu, i: Instruction): bigint {
  const low = readMemory(v, i, 8);
  return low | (readMemory(v, i, 2, 8n) << 64n);
}
export function writeTenBytes(v: Vcpu, i: Instruction, value: bigint): void {
  probeWrite(v, i, 10);
  writeMemory(v, i, 8, BigInt.asUintN(64, value));
  writeMemory(v, i, 2, value >> 64n, 8n);
}

/** The first word of an operand that need not be aligned is accessed before the rest is looked at. */
function firstWord(v: Vcpu, i: Instruction, alignment: number, access: 'read' | 'write'): void {
  if (alignment === 1) pieces(v, i, 1, Math.min(i.operandSize, 4), access);
}

/** A long memory operand, at most a page; #GP(0) if it is not aligned. 0: as one access that need not be. */
export function readBytes(v: Vcpu, i: Instruction, alignment: number, count: number): Uint8Array {
  firstWord(v, i, alignment, 'read');
  const out = new Uint8Array(count);
  for (const { at, from, to } of pieces(v, i, alignment, count, 'read'))
    out.set(v.cpu.bytes.subarray(at, at + to - from), from);
  return out;
}

export function writeBytes(v: Vcpu, i: Instruction, alignment: number, bytes: Uint8Array): void {
  firstWord(v, i, alignment, 'write');
  for (const { at, from, to } of pieces(v, i, alignment, bytes.length, 'write'))
    v.cpu.bytes.set(bytes.subarray(from, to), at);
}
