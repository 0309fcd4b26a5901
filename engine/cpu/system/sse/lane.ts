import {
  addFloats,
  compareFloats,
  divideFloats,
  multiplyFloats,
  type Outcome,
  rootOfFloat,
} from '../../float/arithmetic.js';
import {
  FLAG,
  type Float,
  FloatKind,
  INDEFINITE,
  isNan,
  negated,
  normalised,
  quieted,
  zero,
} from '../../float/float.js';
import { DOUBLE, decodeFloat, encodeFloat, type Interchange, SINGLE } from '../../float/format.js';
import { type RoundingMode, round, roundToInteger } from '../../float/round.js';
import type { SseControl } from './control.js';

/** One lane of an operation on XMM registers, with the flags that MXCSR gets: APM volume 4. Floats are their bits. */

function decode(c: SseControl, bits: bigint, format: Interchange): Float {
  const x = decodeFloat(bits, format);
  return x.denormal && c.denormalsAreZero ? zero(x.negative) : x;
}

const noteDenormals = (c: SseControl, ...operands: readonly Float[]): void => {
  if (operands.some((x) => x.denormal)) c.raise(FLAG.denormal);
};

/** A NaN of the first operand goes before one of the second. */
function invalid(c: SseControl, operands: readonly Float[]): Float | undefined {
  if (operands.some((x) => x.kind === FloatKind.signalling)) c.raise(FLAG.invalid);
  const first = operands.find(isNan);
  return first ? quieted(first) : undefined;
}

function settle(c: SseControl, outcome: Outcome, format: Interchange, operands: readonly Float[]): bigint {
  switch (outcome.kind) {
    case 'invalid':
      c.raise(FLAG.invalid);
      return encodeFloat(INDEFINITE, format);
    case 'divideByZero':
      c.raise(FLAG.zeroDivide);
      return encodeFloat(outcome.value, format);
    case 'special':
      noteDenormals(c, ...operands);
      return encodeFloat(outcome.value, format);
    case 'exact': {
      noteDenormals(c, ...operands);
      const { value, flags } = round(outcome.exact, format, c);
      c.raise(flags);
      return encodeFloat(value, format);
    }
  }
}

export type ArithmeticName = 'ADD' | 'SUB' | 'MUL' | 'DIV';
const ARITHMETIC: Readonly<Record<ArithmeticName, (a: Float, b: Float, mode: RoundingMode) => Outcome>> = {
  ADD: addFloats,
  SUB: (a, b, mode) => addFloats(a, negated(b), mode),
  MUL: multiplyFloats,
  DIV: divideFloats,
};

export function arithmetic(c: SseControl, name: ArithmeticName, a: bigint, b: bigint, format: Interchange): bigint {
  const operands = [decode(c, a, format), decode(c, b, format)] as const;
  const wrong = invalid(c, operands);
  if (wrong) return encodeFloat(wrong, format);
  return settle(c, ARITHMETIC[name](...operands, c.mode), format, operands);
}

export function squareRoot(c: SseControl, bits: bigint, format: Interchange): bigint {
  const x = decode(c, bits, format);
  const wrong = invalid(c, [x]);
  return wrong ? encodeFloat(wrong, format) : settle(c, rootOfFloat(x), format, [x]);
}

/** Unordered operands and two zeros give the second operand as it is. */
export function extreme(c: SseControl, a: bigint, b: bigint, format: Interchange, largest: boolean): bigint {
  const [x, y] = [decode(c, a, format), decode(c, b, format)];
  if (isNan(x) || isNan(y)) {
    c.raise(FLAG.invalid);
    return encodeFloat(y, format);
  }
  noteDenormals(c, x, y);
  const order = compareFloats(x, y);
  return encodeFloat((largest ? order > 0 : order < 0) ? x : y, format);
}

/** Undefined when unordered; a quiet NaN is an invalid operand only where asked for. */
export function compare(c: SseControl, a: bigint, b: bigint, format: Interchange, quiet: boolean): number | undefined {
  const [x, y] = [decode(c, a, format), decode(c, b, format)];
  if (invalid(c, [x, y])) {
    if (!quiet) c.raise(FLAG.invalid);
    return undefined;
  }
  noteDenormals(c, x, y);
  return compareFloats(x, y);
}

// --- conversions ---

/** Two's complement; what does not fit, and NaN, give the integer with only the top bit set. */
export function toInteger(c: SseControl, bits: bigint, format: Interchange, width: number, mode = c.mode): bigint {
  const x = decode(c, bits, format);
  const limit = 1n << BigInt(width - 1);
  const { magnitude, inexact } = roundToInteger(x, mode);
  const finite = x.kind === FloatKind.finite || x.kind === FloatKind.zero;
  if (!finite || (x.negative ? magnitude > limit : magnitude >= limit)) {
    c.raise(FLAG.invalid);
    return limit;
  }
  if (inexact) c.raise(FLAG.inexact);
  return BigInt.asUintN(width, x.negative ? -magnitude : magnitude);
}

export function fromInteger(c: SseControl, value: bigint, format: Interchange): bigint {
  const exact = { negative: value < 0n, significand: value < 0n ? -value : value, exponent: 0 };
  const { value: result, flags } = round(exact, format, c);
  c.raise(flags);
  return encodeFloat(result, format);
}

export function convert(c: SseControl, bits: bigint, from: Interchange, to: Interchange): bigint {
  const x = decode(c, bits, from);
  const wrong = invalid(c, [x]);
  if (wrong) return encodeFloat(wrong, to);
  const outcome: Outcome = x.kind === FloatKind.finite ? { kind: 'exact', exact: x } : { kind: 'special', value: x };
  return settle(c, outcome, to, [x]);
}

/** ROUNDPS and its like: to an integer that stays a float. */
export function roundLane(c: SseControl, bits: bigint, format: Interchange, selector: number): bigint {
  const x = decode(c, bits, format);
  const wrong = invalid(c, [x]);
  if (wrong) return encodeFloat(wrong, format);
  if (x.kind !== FloatKind.finite) return encodeFloat(x, format);
  const mode = (selector & 4) !== 0 ? c.mode : selector & 3;
  const { magnitude, inexact } = roundToInteger(x, mode);
  if (inexact && (selector & 8) === 0) c.raise(FLAG.inexact);
  // Beyond 2^63 every float is an integer already.
  if (x.exponent >= 0) return encodeFloat(x, format);
  return encodeFloat(normalised({ negative: x.negative, significand: magnitude, exponent: 0 }), format);
}

export const formatOf = (bits: 32 | 64): Interchange => (bits === 32 ? SINGLE : DOUBLE);
