import { FLAG, type Float } from '../../float/float.js';
import { decodeExtended, encodeExtended } from '../../float/format.js';
import type { RoundingMode } from '../../float/round.js';
import {
  X87,
  X87_CONTROL,
  X87_CS,
  X87_DP,
  X87_DS,
  X87_IP,
  X87_OPCODE,
  X87_STATUS,
  X87_TAG,
} from '../../state/layout.js';

/** Status word: APM volume 1, figure 6-2. Exception flags are those of `FLAG`. */
export const STATUS = {
  stackFault: 0x40,
  summary: 0x80,
  C0: 0x100,
  C1: 0x200,
  C2: 0x400,
  TOP: 0x3800,
  C3: 0x4000,
  busy: 0x8000,
} as const;
const EXCEPTIONS = 0x3f;

/** A register as it is: 64 bits of significand, 16 of sign and exponent. */
export interface RawRegister {
  readonly significand: bigint;
  readonly signAndExponent: number;
}

/** Registers of the x87 unit in linear memory, by their place in the stack, with what instructions do to them. */
export class X87Registers {
  constructor(private readonly view: DataView) {}

  get control(): number {
    return this.view.getUint16(X87_CONTROL, true);
  }
  /** Also decides whether an exception is pending. */
  set control(value: number) {
    this.view.setUint16(X87_CONTROL, value, true);
    this.status = this.status;
  }

  get status(): number {
    return this.view.getUint16(X87_STATUS, true);
  }
  /** ES and B follow from flags and masks. */
  set status(value: number) {
    const pending = (value & ~this.control & EXCEPTIONS) !== 0;
    const plain = value & ~(STATUS.summary | STATUS.busy);
    this.view.setUint16(X87_STATUS, pending ? plain | STATUS.summary | STATUS.busy : plain, true);
  }
  get pending(): boolean {
    return (this.status & STATUS.summary) !== 0;
  }

  /** One bit for each of R0 to R7 that is not empty. */
  get tag(): number {
    return this.view.getUint8(X87_TAG);
  }
  set tag(value: number) {
    this.view.setUint8(X87_TAG, value);
  }

  get top(): number {
    return (this.status >> 11) & 7;
  }
  set top(value: number) {
    this.view.setUint16(X87_STATUS, (this.status & ~STATUS.TOP) | ((value & 7) << 11), true);
  }

  get masks(): number {
    return this.control & EXCEPTIONS;
  }
  get rounding(): RoundingMode {
    return (this.control >> 10) & 3;
  }
  /** Bits of the significand that arithmetic leaves: 24, 53 or 64. */
  get precision(): number {
    return [24, 64, 53, 64][(this.control >> 8) & 3] ?? 64;
  }

  // --- the stack ---

  private physical(n: number): number {
    return (this.top + n) & 7;
  }
  isEmpty(n: number): boolean {
    return (this.tag & (1 << this.physical(n))) === 0;
  }
  raw(n: number): RawRegister {
    const at = X87 + 16 * this.physical(n);
    return {
      significand: this.view.getBigUint64(at, true),
      signAndExponent: this.view.getUint16(at + 8, true),
    };
  }
  setRaw(n: number, { significand, signAndExponent }: RawRegister): void {
    const register = this.physical(n);
    this.view.setBigUint64(X87 + 16 * register, significand, true);
    this.view.setUint16(X87 + 16 * register + 8, signAndExponent, true);
    this.tag |= 1 << register;
  }
  get(n: number): Float {
    const { significand, signAndExponent } = this.raw(n);
    return decodeExtended(significand, signAndExponent);
  }
  set(n: number, value: Float): void {
    this.setRaw(n, encodeExtended(value));
  }
  free(n: number): void {
    this.tag &= ~(1 << this.physical(n));
  }
  pop(): void {
    this.free(0);
    this.top += 1;
  }

  // --- exceptions and condition codes ---

  /** Sets flags and C1; false where an unmasked exception keeps the instruction from being done. */
  raise(flags: number, c1 = false): boolean {
    this.status = (this.status & ~STATUS.C1) | flags | (c1 ? STATUS.C1 : 0);
    return (flags & ~this.control & (FLAG.invalid | FLAG.denormal | FLAG.zeroDivide)) === 0;
  }
  /** An empty source, or a full stack: C1 tells which. */
  stackFault(overflow = false): boolean {
    return this.raise(FLAG.invalid | STATUS.stackFault, overflow);
  }
  /** C0, C2 and C3 as given. */
  setConditions(bits: number): void {
    this.status = (this.status & ~(STATUS.C0 | STATUS.C2 | STATUS.C3)) | bits;
  }

  // --- where the last instruction and its operand were ---

  get opcode(): number {
    return this.view.getUint16(X87_OPCODE, true);
  }
  set opcode(value: number) {
    this.view.setUint16(X87_OPCODE, value & 0x7ff, true);
  }
  get instruction(): Pointer {
    return { offset: this.view.getBigUint64(X87_IP, true), selector: this.view.getUint16(X87_CS, true) };
  }
  set instruction({ offset, selector }: Pointer) {
    this.view.setBigUint64(X87_IP, offset, true);
    this.view.setUint16(X87_CS, selector, true);
  }
  get data(): Pointer {
    return { offset: this.view.getBigUint64(X87_DP, true), selector: this.view.getUint16(X87_DS, true) };
  }
  set data({ offset, selector }: Pointer) {
    this.view.setBigUint64(X87_DP, offset, true);
    this.view.setUint16(X87_DS, selector, true);
  }

  /** As RESET leaves the unit: APM volume 2, table 14-1. */
  reset(): void {
    this.initialise();
    this.view.setUint16(X87_CONTROL, 0x40, true);
    this.tag = 0xff;
  }

  /** As FNINIT leaves it; register contents stay. */
  initialise(): void {
    this.view.setUint16(X87_CONTROL, 0x37f, true);
    this.view.setUint16(X87_STATUS, 0, true);
    this.tag = 0;
    this.opcode = 0;
    this.instruction = { offset: 0n, selector: 0 };
    this.data = { offset: 0n, selector: 0 };
  }
}

export interface Pointer {
  readonly offset: bigint;
  readonly selector: number;
}
