import { exception, VECTOR } from '../exception.js';
import type { SegmentState } from '../state/registers.js';
import { isCanonical } from './paging.js';
import { ATTRIBUTE, accessed, dplOf, readDescriptor, selectorFault } from './segments.js';
import { has, isLongMode } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** Stacks that interrupts and call gates push on: APM volume 2, sections 8.7.3, 8.9.3 and 12.2.5. */

const RSP = 4;
const SS = 2;
const TR = 7;
const maskOf = (size: number): bigint => (1n << BigInt(size)) - 1n;

/** Pushes below a stack pointer; commits nothing. */
export class StackWriter {
  private readonly mask: bigint;
  private readonly kept: bigint;
  private top: bigint;

  /**
   * `segment`: its limit counts outside of long mode. `errorCode` is that of #SS. `user`: the pushes are those of
   * CPL 3, others are the supervisor's.
   */
  constructor(
    private readonly v: Vcpu,
    private readonly segment: SegmentState,
    pointer: bigint,
    bits: number,
    private readonly errorCode: number,
    private readonly user: boolean,
  ) {
    this.mask = maskOf(bits);
    this.kept = bits === 16 ? pointer & 0xffff_0000n : 0n;
    this.top = pointer & this.mask;
  }

  push(value: bigint, bytes: number): void {
    this.top = (this.top - BigInt(bytes)) & this.mask;
    const at = isLongMode(this.v.state) ? this.top : this.segment.base + this.top;
    if (!this.fits(bytes)) throw exception(VECTOR.SS, { errorCode: this.errorCode });
    this.v.writeLinear(at, bytes, BigInt.asUintN(bytes * 8, value), !this.user);
  }

  private fits(bytes: number): boolean {
    const last = this.top + BigInt(bytes - 1);
    if (isLongMode(this.v.state)) return isCanonical(this.top) && isCanonical(last);
    const { attributes, limit } = this.segment;
    if (!has(attributes, EXPAND_DOWN)) return last <= BigInt(limit);
    return this.top > BigInt(limit) && last <= this.mask;
  }

  /** RSP after the pushes: a 16-bit stack leaves the upper half of ESP. */
  get pointer(): bigint {
    return this.kept | this.top;
  }
}

const EXPAND_DOWN = 4;

/** Goes on with the stack in use. */
export function sameStack(v: Vcpu): StackWriter {
  return new StackWriter(v, v.registers.segment(SS), v.registers.get(RSP), v.stackSize, 0, v.state.cpl === 3);
}

/** A stack pointer in the task state segment of long mode: that of an inner privilege, or of the interrupt stack table. */
export function longPointer(v: Vcpu, index: number): bigint {
  const tss = v.registers.segment(TR);
  if (index + 7 > tss.limit) throw selectorFault(VECTOR.TS, tss.selector);
  return v.readLinear(tss.base + BigInt(index), 8, true);
}
export const privilegeIndex = (cpl: number): number => 4 + 8 * cpl;
export const interruptStackIndex = (ist: number): number => 0x1c + 8 * ist;

/** SS of an inner privilege in long mode. */
export const nullStack = (cpl: number): SegmentState => ({ selector: cpl, attributes: cpl << 5, limit: 0, base: 0n });

export function longStack(v: Vcpu, pointer: bigint, cpl: number): StackWriter {
  return new StackWriter(v, nullStack(cpl), pointer, 64, 0, cpl === 3);
}

/** Stack of an inner privilege from a 16-bit or 32-bit task state segment. */
export function innerStack(v: Vcpu, cpl: number): { readonly stack: StackWriter; readonly segment: SegmentState } {
  const tss = v.registers.segment(TR);
  const bytes = (tss.attributes & 8) !== 0 ? 4 : 2;
  const at = bytes + 2 * bytes * cpl;
  // Pointer and selector, not what lies behind the selector.
  if (at + bytes + 1 > tss.limit) throw selectorFault(VECTOR.TS, tss.selector);
  const esp = v.readLinear(tss.base + BigInt(at), bytes, true);
  const selector = Number(v.readLinear(tss.base + BigInt(at + bytes), 2, true));
  if ((selector & 0xfffc) === 0) throw selectorFault(VECTOR.TS, selector);
  const d = readDescriptor(v, selector, VECTOR.TS);
  const fits = (selector & 3) === cpl && dplOf(d.attributes) === cpl && (d.attributes & 0x1a) === 0x12;
  if (!fits) throw selectorFault(VECTOR.TS, selector);
  if (!has(d.attributes, ATTRIBUTE.present)) throw selectorFault(VECTOR.SS, selector);
  const segment = accessed(v, d);
  const bits = has(d.attributes, ATTRIBUTE.big) ? 32 : 16;
  return { stack: new StackWriter(v, segment, esp, bits, selector & 0xfffc, false), segment };
}
