import { type Instruction, OperandPlace } from '../../decoder/instruction.js';
import { RFLAGS, STATUS_FLAGS } from '../../semantics/flags.js';
import { XMM } from '../../state/layout.js';
import { readBytes } from '../operands.js';
import type { Vcpu } from '../vcpu.js';
import { xmmView } from './control.js';

/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: APM volume 4. Each bit of the result belongs to an element of operand 2. */

const [RAX, RCX, RDX] = [0, 1, 2];

interface Text {
  readonly elements: readonly number[];
  /** Elements that count. */
  readonly length: number;
}

/** Bits 1:0 of the immediate: bytes or words, unsigned or signed. */
function elementsOf(view: DataView, selector: number): number[] {
  const wide = (selector & 1) !== 0;
  const signed = (selector & 2) !== 0;
  return Array.from({ length: wide ? 8 : 16 }, (_, n) => {
    if (wide) return signed ? view.getInt16(2 * n, true) : view.getUint16(2 * n, true);
    return signed ? view.getInt8(n) : view.getUint8(n);
  });
}

/** Memory need not be aligned. */
function operand(v: Vcpu, i: Instruction, n: 0 | 1): DataView {
  const { place, register } = i.operands[n];
  if (place === OperandPlace.memory) return new DataView(readBytes(v, i, 0, 16).buffer);
  return new DataView(v.cpu.view.buffer, XMM + 16 * register, 16);
}

function explicitLength(v: Vcpu, i: Instruction, register: number, most: number): number {
  const bits = (i.rex & 8) !== 0 ? 64 : 32;
  const value = BigInt.asIntN(bits, v.registers.get(register));
  const size = value < 0n ? -value : value;
  return size > BigInt(most) ? most : Number(size);
}

function implicitLength(elements: readonly number[]): number {
  const end = elements.indexOf(0);
  return end < 0 ? elements.length : end;
}

type Aggregate = (a: Text, b: Text, j: number) => boolean;

const equalAny: Aggregate = (a, b, j) =>
  j < b.length && a.elements.some((element, i) => i < a.length && element === b.elements[j]);
const ranges: Aggregate = (a, b, j) =>
  j < b.length &&
  a.elements.some((low, i) => {
    const value = b.elements[j] ?? 0;
    return i % 2 === 0 && i + 1 < a.length && low <= value && value <= (a.elements[i + 1] ?? 0);
  });
/** Beyond both ends texts are equal. */
const equalEach: Aggregate = (a, b, j) =>
  j < a.length && j < b.length ? a.elements[j] === b.elements[j] : j >= a.length && j >= b.length;
/** Does a begin at this place of b? Past the register's end nothing is compared. */
const equalOrdered: Aggregate = (a, b, j) =>
  a.elements.every((element, i) => {
    const k = j + i;
    if (k >= b.elements.length || i >= a.length) return true;
    return k < b.length && element === b.elements[k];
  });
const AGGREGATES: readonly Aggregate[] = [equalAny, ranges, equalEach, equalOrdered];

function resultBits(a: Text, b: Text, selector: number): number {
  const aggregate = AGGREGATES[(selector >> 2) & 3] ?? equalAny;
  const negates = (selector & 0x10) !== 0;
  const onlyValid = (selector & 0x20) !== 0;
  let bits = 0;
  for (let j = 0; j < b.elements.length; j++) {
    const holds = aggregate(a, b, j);
    const changed = negates && !(onlyValid && j >= b.length);
    if (holds !== changed) bits |= 1 << j;
  }
  return bits;
}

function writeIndex(v: Vcpu, bits: number, selector: number, count: number): void {
  const highest = 31 - Math.clz32(bits);
  const lowest = 31 - Math.clz32(bits & -bits);
  v.registers.set32(RCX, bits === 0 ? count : (selector & 0x40) !== 0 ? highest : lowest);
}

function writeMask(v: Vcpu, bits: number, selector: number, count: number): void {
  const to = xmmView(v, 0);
  to.setBigUint64(8, 0n, true);
  to.setBigUint64(0, BigInt(bits), true);
  if ((selector & 0x40) === 0) return;
  for (let n = 0; n < count; n++) {
    const ones = ((bits >> n) & 1) !== 0 ? 0xffff : 0;
    if (count === 16) to.setUint8(n, ones & 0xff);
    else to.setUint16(2 * n, ones, true);
  }
}

const compareStrings = (explicit: boolean, index: boolean) => (v: Vcpu, i: Instruction) => {
  const selector = i.immediate & 0xff;
  const [first, second] = [elementsOf(operand(v, i, 0), selector), elementsOf(operand(v, i, 1), selector)];
  const count = first.length;
  const lengthOf = (elements: readonly number[], register: number): number =>
    explicit ? explicitLength(v, i, register, count) : implicitLength(elements);
  const a: Text = { elements: first, length: lengthOf(first, RAX) };
  const b: Text = { elements: second, length: lengthOf(second, RDX) };
  const bits = resultBits(a, b, selector);
  if (index) writeIndex(v, bits, selector, count);
  else writeMask(v, bits, selector, count);
  const { CF, ZF, SF, OF } = RFLAGS;
  const flags =
    (bits !== 0 ? CF : 0) | (b.length < count ? ZF : 0) | (a.length < count ? SF : 0) | ((bits & 1) !== 0 ? OF : 0);
  v.registers.flags = (v.registers.flags & ~STATUS_FLAGS) | flags;
};

export const SSE_STRINGS: Readonly<Record<string, (v: Vcpu, i: Instruction) => void>> = {
  PCMPESTRM: compareStrings(true, false),
  PCMPESTRI: compareStrings(true, true),
  PCMPISTRM: compareStrings(false, false),
  PCMPISTRI: compareStrings(false, true),
};
