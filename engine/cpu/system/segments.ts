import { exception, VECTOR } from '../exception.js';
import type { SegmentState } from '../state/registers.js';
import { isLongMode, isProtected } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** Segment registers and descriptors: APM volume 2, chapter 4. */

export const ATTRIBUTE = {
  type: 0xf,
  system: 0x10,
  dpl: 0x60,
  present: 0x80,
  long: 0x200,
  big: 0x400,
  granularity: 0x800,
} as const;
const TYPE = { accessed: 1, writable: 2, conforming: 4, code: 8 } as const;
const LDTR = 6;
const SS = 2;

export interface Descriptor {
  readonly selector: number;
  readonly attributes: number;
  readonly limit: number;
  readonly base: bigint;
  /** Linear address of the descriptor. */
  readonly at: bigint;
  /** The raw eight bytes: gates have another meaning. */
  readonly raw: bigint;
}

export const dplOf = (attributes: number): number => (attributes >> 5) & 3;
export const isCode = (attributes: number): boolean => (attributes & (ATTRIBUTE.system | TYPE.code)) === 0x18;
export const isConforming = (attributes: number): boolean => isCode(attributes) && (attributes & TYPE.conforming) !== 0;
const isWritableData = (attributes: number): boolean =>
  (attributes & (ATTRIBUTE.system | TYPE.code | TYPE.writable)) === 0x12;
const isReadable = (attributes: number): boolean =>
  (attributes & ATTRIBUTE.system) !== 0 && (!isCode(attributes) || (attributes & TYPE.writable) !== 0);

export const selectorFault = (vector: number, selector: number) => exception(vector, { errorCode: selector & 0xfffc });

/** Reads a descriptor from GDT or LDT; #GP(selector) beyond the table. */
export function readDescriptor(v: Vcpu, selector: number, vector: number = VECTOR.GP): Descriptor {
  const descriptor = findDescriptor(v, selector);
  if (!descriptor) throw selectorFault(vector, selector);
  return descriptor;
}

/** Undefined beyond the table. */
export function findDescriptor(v: Vcpu, selector: number): Descriptor | undefined {
  const { gdtr } = v.state;
  const ldt = v.registers.segment(LDTR);
  const table = (selector & 4) === 0 ? gdtr : { base: ldt.base, limit: ldt.limit };
  const offset = selector & 0xfff8;
  if (offset + 7 > table.limit) return undefined;
  const at = table.base + BigInt(offset);
  const raw = v.readLinear(at, 8, true);
  const [low, high] = [Number(raw & 0xffff_ffffn), Number(raw >> 32n)];
  const attributes = ((high >>> 8) & 0xff) | ((high >>> 12) & 0xf00);
  const plainLimit = (low & 0xffff) | (high & 0xf_0000);
  const limit = (attributes & ATTRIBUTE.granularity) !== 0 ? ((plainLimit << 12) | 0xfff) >>> 0 : plainLimit;
  const base = BigInt(((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff00_0000)) >>> 0);
  return { selector, attributes, limit, base, at, raw };
}

/** System descriptors (LDT, TSS) have 16 bytes in long mode. */
export function readSystemDescriptor(v: Vcpu, selector: number): Descriptor {
  const descriptor = readDescriptor(v, selector);
  if (!isLongMode(v.state)) return descriptor;
  const upper = v.readLinear(descriptor.at + 8n, 4, true);
  return { ...descriptor, base: descriptor.base | (upper << 32n) };
}

/** Sets the accessed bit in the table and returns the state to load. */
export function accessed(v: Vcpu, d: Descriptor): SegmentState {
  if ((d.attributes & TYPE.accessed) === 0) {
    v.writeLinear(d.at + 5n, 1, BigInt((d.attributes & 0xff) | TYPE.accessed), true);
  }
  return { selector: d.selector, attributes: d.attributes | TYPE.accessed, limit: d.limit, base: d.base };
}

const nullSegment = (selector: number): SegmentState => ({ selector, attributes: 0, limit: 0, base: 0n });

export function realSegment(previous: SegmentState, selector: number): SegmentState {
  return { ...previous, selector, base: BigInt(selector * 16) };
}

/** MOV, POP, LDS and their like into ES, SS, DS, FS, GS. */
export function loadDataSegment(v: Vcpu, n: number, selector: number): void {
  const { registers, state } = v;
  if (!isProtected(state)) {
    registers.setSegment(n, realSegment(registers.segment(n), selector));
    return;
  }
  const rpl = selector & 3;
  if ((selector & 0xfffc) === 0) {
    if (n === SS && !(v.codeSize === 64 && state.cpl < 3 && rpl === state.cpl))
      throw exception(VECTOR.GP, { errorCode: 0 });
    // A null SS of 64-bit mode keeps the CPL in its DPL.
    registers.setSegment(
      n,
      n === SS ? { ...nullSegment(selector), attributes: state.cpl << 5 } : nullSegment(selector),
    );
    if (n === SS) v.modeChanged();
    return;
  }
  const d = readDescriptor(v, selector);
  const dpl = dplOf(d.attributes);
  const bad =
    n === SS
      ? rpl !== state.cpl || dpl !== state.cpl || !isWritableData(d.attributes)
      : !isReadable(d.attributes) || (!isConforming(d.attributes) && (rpl > dpl || state.cpl > dpl));
  if (bad) throw selectorFault(VECTOR.GP, selector);
  if ((d.attributes & ATTRIBUTE.present) === 0) throw selectorFault(n === SS ? VECTOR.SS : VECTOR.NP, selector);
  registers.setSegment(n, accessed(v, d));
  if (n === SS) v.modeChanged();
}

/** Task gate and available TSS by type: a far transfer through them switches tasks. */
const TASKS: Readonly<Record<number, string>> = {
  1: 'a switch to a 16-bit task',
  5: 'a task gate',
  9: 'a switch to a task',
};

/** A task switch that a processor would do ends in a Fault; what it would refuse goes on to #GP. */
function refuseTask(v: Vcpu, d: Descriptor): void {
  const type = d.attributes & 0x1f;
  const task = TASKS[type];
  if (task === undefined || isLongMode(v.state)) return;
  const dpl = dplOf(d.attributes);
  if (v.state.cpl > dpl || (d.selector & 3) > dpl) return;
  if ((d.attributes & ATTRIBUTE.present) === 0) throw selectorFault(VECTOR.NP, d.selector);
  throw v.missing(task);
}

/** What a far jump or call leads to. */
export function transferDescriptor(v: Vcpu, selector: number): Descriptor {
  if ((selector & 0xfffc) === 0) throw exception(VECTOR.GP, { errorCode: 0 });
  return readDescriptor(v, selector);
}

/** Checks a code segment for a far jump or call (same privilege) and returns the state to load. */
export function codeSegmentForJump(v: Vcpu, d: Descriptor): SegmentState {
  const { cpl } = v.state;
  const { selector } = d;
  refuseTask(v, d);
  if (!isCode(d.attributes)) throw selectorFault(VECTOR.GP, selector);
  checkCodeMode(v, d);
  const dpl = dplOf(d.attributes);
  const fits = isConforming(d.attributes) ? dpl <= cpl : (selector & 3) <= cpl && dpl === cpl;
  if (!fits) throw selectorFault(VECTOR.GP, selector);
  if ((d.attributes & ATTRIBUTE.present) === 0) throw selectorFault(VECTOR.NP, selector);
  const segment = accessed(v, d);
  return { ...segment, selector: (selector & 0xfffc) | cpl };
}

/** L and D together are reserved in long mode. */
export function checkCodeMode(v: Vcpu, d: Descriptor): void {
  const both = ATTRIBUTE.long | ATTRIBUTE.big;
  if (isLongMode(v.state) && (d.attributes & both) === both) throw selectorFault(VECTOR.GP, d.selector);
}
