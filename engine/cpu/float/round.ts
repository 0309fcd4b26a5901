import { bitLength, type Exact, FLAG, type Float, FloatKind, infinity, normalised, zero } from './float.js';
import type { Format } from './format.js';

/** Rounding to a format: APM volume 1, sections 4.8 and 6.8. Tininess is detected after rounding, as x86 does. */

/** In the encoding of the control word and of MXCSR. */
export enum RoundingMode {
  nearest = 0,
  down = 1,
  up = 2,
  truncate = 3,
}

/** Is the magnitude increased, given the first bit that is cut off, whether any other is, and the last that stays? */
export function roundsUp(mode: RoundingMode, negative: boolean, half: boolean, rest: boolean, odd: boolean): boolean {
  switch (mode) {
    case RoundingMode.nearest:
      return half && (rest || odd);
    case RoundingMode.down:
      return negative && (half || rest);
    case RoundingMode.up:
      return !negative && (half || rest);
    case RoundingMode.truncate:
      return false;
  }
}

/** Drops the lowest bits of a significand. */
export function dropBits(
  significand: bigint,
  count: number,
  mode: RoundingMode,
  negative: boolean,
): { significand: bigint; inexact: boolean; up: boolean } {
  if (count <= 0) return { significand: significand << BigInt(-count), inexact: false, up: false };
  const kept = significand >> BigInt(count);
  const cut = significand & ((1n << BigInt(count)) - 1n);
  const halfBit = 1n << BigInt(count - 1);
  const half = (cut & halfBit) !== 0n;
  const up = roundsUp(mode, negative, half, (cut & (halfBit - 1n)) !== 0n, (kept & 1n) !== 0n);
  return { significand: up ? kept + 1n : kept, inexact: cut !== 0n, up };
}

export interface RoundingControl {
  readonly mode: RoundingMode;
  /** Exception flags that are masked. */
  readonly masks: number;
  /** MXCSR.FZ: a masked underflow gives zero. */
  readonly flushToZero?: boolean;
  /** What an unmasked overflow takes from the exponent, an unmasked underflow adds to it, in x87 registers. */
  readonly wrap?: number;
}

export interface Rounded {
  readonly value: Float;
  readonly flags: number;
  /** The magnitude was increased: C1 of the x87 unit. */
  readonly up: boolean;
}

function overflowed(x: Exact, format: Format, mode: RoundingMode): Rounded {
  const toInfinity = roundsUp(mode, x.negative, true, true, true);
  const significand = (1n << BigInt(format.precision)) - 1n;
  const most = normalised({ negative: x.negative, significand, exponent: format.largest - format.precision + 1 });
  return {
    value: toInfinity ? infinity(x.negative) : most,
    flags: FLAG.overflow | FLAG.inexact,
    up: toInfinity,
  };
}

/** Rounds to the format. Bits far below the last place only need to be there, as one sticky bit, not to be right. */
export function round(x: Exact, format: Format, control: RoundingControl): Rounded {
  const { mode, masks, wrap = 0 } = control;
  if (x.significand === 0n) return { value: zero(x.negative), flags: 0, up: false };
  const length = bitLength(x.significand);
  const { precision, smallest, largest } = format;
  // As if there were no limits to the exponent.
  const free = dropBits(x.significand, length - precision, mode, x.negative);
  const freeExponent = x.exponent + length - precision;
  const freeValue = normalised({ negative: x.negative, significand: free.significand, exponent: freeExponent });
  const top = freeValue.exponent + 63;
  const inexact = free.inexact ? FLAG.inexact : 0;
  if (top > largest) {
    if ((masks & FLAG.overflow) !== 0) return overflowed(x, format, mode);
    const value = { ...freeValue, exponent: freeValue.exponent - wrap };
    // An exponent too large even so: only FSCALE gets there.
    if (wrap !== 0 && top - wrap > largest) {
      return { value: infinity(x.negative), flags: FLAG.overflow | FLAG.inexact, up: true };
    }
    return { value, flags: FLAG.overflow | inexact, up: free.up };
  }
  if (top >= smallest) return { value: freeValue, flags: inexact, up: free.up };
  if ((masks & FLAG.underflow) === 0) {
    if (wrap !== 0 && top + wrap < smallest) {
      return { value: zero(x.negative), flags: FLAG.underflow | FLAG.inexact, up: false };
    }
    return {
      value: { ...freeValue, exponent: freeValue.exponent + wrap },
      flags: FLAG.underflow | inexact,
      up: free.up,
    };
  }
  if (control.flushToZero === true) {
    return { value: zero(x.negative), flags: FLAG.underflow | FLAG.inexact, up: false };
  }
  const last = smallest - precision + 1;
  const fixed = dropBits(x.significand, last - x.exponent, mode, x.negative);
  const value = normalised({ negative: x.negative, significand: fixed.significand, exponent: last });
  return { value, flags: fixed.inexact ? FLAG.underflow | FLAG.inexact : 0, up: fixed.up };
}

/** To an integer, as a magnitude of any length; `inexact` if anything was cut off. */
export function roundToInteger(x: Float, mode: RoundingMode): { magnitude: bigint; inexact: boolean; up: boolean } {
  if (x.kind !== FloatKind.finite) return { magnitude: 0n, inexact: false, up: false };
  // More than two bits below the point are one sticky bit.
  const drop = Math.min(-x.exponent, 70);
  const sticky = -x.exponent > 70 ? 1n : x.significand;
  const { significand, inexact, up } = dropBits(sticky, drop, mode, x.negative);
  return { magnitude: significand, inexact, up };
}
