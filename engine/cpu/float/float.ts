/**
 * Numbers of the x87 and SSE units, taken apart: one shape for single, double and double-extended precision. What a
 * processor does with them is in the files beside this one and in engine/cpu/system.
 */

export enum FloatKind {
  zero = 0,
  finite = 1,
  infinity = 2,
  quiet = 3,
  signalling = 4,
  /** Encodings of double-extended precision that no unit makes: unnormals, pseudo-infinities, pseudo-NaNs. */
  unsupported = 5,
}

/** A magnitude that need not fit any format: `significand` × 2^`exponent`; a significand of zero is zero. */
export interface Exact {
  readonly negative: boolean;
  readonly significand: bigint;
  readonly exponent: number;
}

/** Finite numbers have bit 63 of the significand set; NaNs have their payload from bit 61 down, and bit 62 if quiet. */
export interface Float extends Exact {
  readonly kind: FloatKind;
  /** Its encoding was that of a denormal (or pseudo-denormal). */
  readonly denormal: boolean;
}

/** Exception flags: the same bits in the status word of x87 and in MXCSR. */
export const FLAG = { invalid: 1, denormal: 2, zeroDivide: 4, overflow: 8, underflow: 16, inexact: 32 } as const;
/** These are found before the operation; unmasked, there is none. */
export const BEFORE = FLAG.invalid | FLAG.denormal | FLAG.zeroDivide;

const QUIET_BIT = 1n << 62n;
const TOP_BIT = 1n << 63n;

const special = (kind: FloatKind, negative: boolean, significand: bigint): Float => ({
  kind,
  negative,
  significand,
  exponent: 0,
  denormal: false,
});

export const zero = (negative: boolean): Float => special(FloatKind.zero, negative, 0n);
export const infinity = (negative: boolean): Float => special(FloatKind.infinity, negative, TOP_BIT);
/** The NaN that stands for an invalid operation. */
export const INDEFINITE: Float = special(FloatKind.quiet, true, TOP_BIT | QUIET_BIT);
export const nan = (negative: boolean, significand: bigint): Float =>
  special((significand & QUIET_BIT) === 0n ? FloatKind.signalling : FloatKind.quiet, negative, significand | TOP_BIT);
export const unsupported = (negative: boolean, significand: bigint): Float =>
  special(FloatKind.unsupported, negative, significand);
export const quieted = (x: Float): Float => special(FloatKind.quiet, x.negative, x.significand | QUIET_BIT);

export const isNan = (x: Float): boolean => x.kind === FloatKind.quiet || x.kind === FloatKind.signalling;
export const negated = (x: Float): Float => ({ ...x, negative: !x.negative });
export const withSign = (x: Float, negative: boolean): Float => ({ ...x, negative });

/** Bits from the highest that is set; 0 for 0. */
export function bitLength(x: bigint): number {
  let length = 0;
  while (x > 0xffff_ffff_ffff_ffffn) {
    // Far from done: by the length of its text.
    const digits = x.toString(16).length - 16;
    x >>= BigInt(4 * digits);
    length += 4 * digits;
  }
  const high = Number(x >> 32n);
  return length + (high !== 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(Number(x)));
}

/** A finite number with its significand shifted up to bit 63; it has at most 64 bits. */
export function normalised(x: Exact, denormal = false): Float {
  if (x.significand === 0n) return zero(x.negative);
  const shift = 64 - bitLength(x.significand);
  return {
    kind: FloatKind.finite,
    negative: x.negative,
    significand: x.significand << BigInt(shift),
    exponent: x.exponent - shift,
    denormal,
  };
}

/** Power of two of the highest bit of a finite number. */
export const magnitude = (x: Float): number => x.exponent + 63;
