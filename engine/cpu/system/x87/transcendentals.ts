import { quotient } from '../../float/arithmetic.js';
import * as fixed from '../../float/fixed-point.js';
import {
  type Exact,
  FLAG,
  type Float,
  FloatKind,
  INDEFINITE,
  infinity,
  magnitude,
  normalised,
  withSign,
  zero,
} from '../../float/float.js';
import { EXTENDED } from '../../float/format.js';
import type { Rounded } from '../../float/round.js';
import { denormalFlag, finish, invalidOperands, roundResult } from './arithmetic.js';
import type { X87Context, X87Operation } from './instruction.js';
import { STATUS, type X87Registers } from './registers.js';

/**
 * Functions: APM volume 5. They are calculated to more than 120 bits and then rounded as the control word says, so
 * that a result differs from the true one by half a unit in the last place (one, with directed rounding). Processors
 * promise one unit and differ from each other, so their results may differ from these in the last place. The argument
 * of sine, cosine and tangent is reduced by a π of 66 bits, as processors do; precision control does not count.
 */

/** A result below the arguments' last bits: exact to first order, with the direction of what is missing. */
const TINY = -80;
const PI_BITS = fixed.BITS;

/** x × 2^-BITS, with a sticky bit: no function here has an exact result. */
const fromFixed = (x: bigint): Exact => ({
  negative: x < 0n,
  significand: ((x < 0n ? -x : x) << 1n) | 1n,
  exponent: -PI_BITS - 1,
});
function toFixed(x: Exact): bigint {
  const shift = x.exponent + PI_BITS;
  const value = shift >= 0 ? x.significand << BigInt(shift) : x.significand >> BigInt(-shift);
  return x.negative ? -value : value;
}
const product = (a: Exact, b: Exact): Exact => ({
  negative: a.negative !== b.negative,
  significand: a.significand * b.significand,
  exponent: a.exponent + b.exponent,
});
/** Slightly nearer to zero, or farther away. */
const nudged = (x: Exact, up: boolean): Exact => ({
  negative: x.negative,
  significand: (x.significand << 80n) + (up ? 1n : -1n),
  exponent: x.exponent - 80,
});

const special = (value: Float, flags = 0): Rounded => ({ value, flags, up: false });
const INVALID = special(INDEFINITE, FLAG.invalid);
const rounded = (r: X87Registers, exact: Exact, before: number): Rounded =>
  roundResult(r, { kind: 'exact', exact }, before, EXTENDED.precision);

/** Reported even where the result happens to be exact; but not if a denormal operand has stopped the operation. */
const inexactly = (r: X87Registers, result: Rounded): Rounded =>
  (result.flags & FLAG.denormal & ~r.masks) !== 0 ? result : { ...result, flags: result.flags | FLAG.inexact };

const LN2: Exact = fromFixed(fixed.LN2);
const ONE_OVER_LN2: Exact = fromFixed(fixed.divide(fixed.ONE, fixed.LN2));
const ONE: Float = normalised({ negative: false, significand: 1n, exponent: 0 });

// --- 2^x − 1 ---
function powerLess1(x: Float, r: X87Registers): Rounded {
  const before = denormalFlag(x);
  if (x.kind === FloatKind.zero) return special(x);
  if (x.kind === FloatKind.infinity) return special(x.negative ? withSign(ONE, true) : x);
  // Beyond ±1 there is no defined result, except that −1 and 1 themselves are exact.
  if (magnitude(x) >= 0) {
    if (x.significand !== 1n << 63n || magnitude(x) > 0) return inexactly(r, special(x, before));
    return inexactly(r, special(x.negative ? { ...x, exponent: x.exponent - 1 } : x));
  }
  if (magnitude(x) < TINY) return rounded(r, product(x, LN2), before);
  return rounded(r, fromFixed(fixed.exponentialLess1(fixed.multiply(toFixed(x), fixed.LN2))), before);
}

// --- y × log2 ---

/** log2 of a positive number; undefined for 1. */
function binaryLogarithm(x: Float): Exact | undefined {
  const power = magnitude(x);
  const upper = x.significand > 0xb504_f333_f9de_6484n;
  const k = upper ? power + 1 : power;
  const mantissa = toFixed({ ...x, exponent: x.exponent - k });
  const log = (BigInt(k) << BigInt(PI_BITS)) + fixed.divide(fixed.logarithm(mantissa), fixed.LN2);
  if (x.significand === 1n << 63n) {
    return power === 0 ? undefined : { negative: power < 0, significand: BigInt(Math.abs(power)), exponent: 0 };
  }
  return fromFixed(log);
}

/** y times a logarithm that is neither zero nor infinite. */
function timesLogarithm(r: X87Registers, y: Float, log: Exact, before: number): Rounded {
  if (y.kind === FloatKind.zero) return special(zero(y.negative !== log.negative), before);
  if (y.kind === FloatKind.infinity) return special(infinity(y.negative !== log.negative), before);
  return inexactly(r, rounded(r, product(y, log), before));
}

function logarithm(x: Float, y: Float, r: X87Registers): Rounded {
  const before = denormalFlag(x, y);
  if (x.kind === FloatKind.zero) {
    if (y.kind === FloatKind.zero) return INVALID;
    // Goes before a denormal operand.
    return special(infinity(!y.negative), y.kind === FloatKind.infinity ? 0 : FLAG.zeroDivide);
  }
  if (x.negative) return INVALID;
  if (x.kind === FloatKind.infinity) {
    return y.kind === FloatKind.zero ? INVALID : special(infinity(y.negative), before);
  }
  const log = binaryLogarithm(x);
  if (log) return timesLogarithm(r, y, log, before);
  return y.kind === FloatKind.infinity ? INVALID : special(zero(y.negative), before);
}

function logarithmOfMore(x: Float, y: Float, r: X87Registers): Rounded {
  const before = denormalFlag(x, y);
  if (x.kind === FloatKind.zero) {
    return y.kind === FloatKind.infinity ? INVALID : special(zero(x.negative !== y.negative), before);
  }
  if (x.kind === FloatKind.infinity) {
    return x.negative || y.kind === FloatKind.zero ? INVALID : special(infinity(y.negative), before);
  }
  if (magnitude(x) < TINY) return timesLogarithm(r, y, product(x, ONE_OVER_LN2), before);
  // There is no logarithm, and no rule: processors of AMD leave x.
  if (x.negative && magnitude(x) >= 0) {
    if (y.kind !== FloatKind.finite) return timesLogarithm(r, y, x, before);
    return inexactly(r, special(x, before));
  }
  if (magnitude(x) > 200) {
    const log = binaryLogarithm(x);
    return log ? timesLogarithm(r, y, log, before) : INVALID;
  }
  const sum = fixed.ONE + toFixed(x);
  if (sum > fixed.ONE / 2n && sum < 2n * fixed.ONE)
    return timesLogarithm(r, y, fromFixed(fixed.divide(fixed.logarithm(sum), fixed.LN2)), before);
  // Beyond the defined range; as if 1 + x had been added first.
  let [mantissa, power] = [sum, 0];
  for (; mantissa >= 2n * fixed.ONE; power++) mantissa >>= 1n;
  for (; mantissa < fixed.ONE; power--) mantissa <<= 1n;
  const whole = BigInt(power) << BigInt(PI_BITS);
  return timesLogarithm(r, y, fromFixed(whole + fixed.divide(fixed.logarithm(mantissa), fixed.LN2)), before);
}

// --- arc tangent of y / x, in all four quadrants ---
function arcTangent(x: Float, y: Float, r: X87Registers): Rounded {
  const before = denormalFlag(x, y);
  const sign = (angle: bigint): Rounded => rounded(r, fromFixed(y.negative ? -angle : angle), before);
  const [hugeX, hugeY] = [x.kind === FloatKind.infinity, y.kind === FloatKind.infinity];
  if (hugeX && hugeY) return sign(x.negative ? (3n * fixed.PI) / 4n : fixed.PI / 4n);
  if (y.kind === FloatKind.zero || (hugeX && !hugeY)) {
    return x.negative ? sign(fixed.PI) : special(zero(y.negative), before);
  }
  if (hugeY || x.kind === FloatKind.zero) return sign(fixed.PI / 2n);
  const steep = magnitude(y) > magnitude(x) || (magnitude(y) === magnitude(x) && y.significand > x.significand);
  const [over, under] = steep ? [x, y] : [y, x];
  const ratio = quotient(withSign(over, false), withSign(under, false), 90);
  const small = magnitude(over) - magnitude(under) < TINY;
  if (small && !steep && !x.negative) return rounded(r, { ...nudged(ratio, false), negative: y.negative }, before);
  const angle = small ? 1n : fixed.arcTangent(toFixed(ratio));
  const first = steep ? fixed.PI / 2n + (x.negative ? angle : -angle) : x.negative ? fixed.PI - angle : angle;
  return sign(first);
}

// --- sine, cosine, tangent ---

/** π as processors have it for this purpose: 66 bits. */
const REDUCTION_PI = 0xc90f_daa2_2168_c234_cn << BigInt(PI_BITS - 66);

/** Multiples of π/2 taken away, and what is left, between −π/4 and π/4. */
function reduced(x: Float): { quadrant: number; rest: bigint } {
  const half = REDUCTION_PI / 2n;
  const value = toFixed(x);
  const doubled = 2n * value + half;
  const whole = doubled / (2n * half) - (doubled < 0n && doubled % (2n * half) !== 0n ? 1n : 0n);
  return { quadrant: Number(BigInt.asUintN(2, whole)), rest: value - whole * half };
}

function sineAndCosine(x: Float): { sine: Exact; cosine: Exact; tangent: Exact } {
  if (magnitude(x) < TINY) {
    const one = nudged(ONE, false);
    return { sine: nudged(x, false), cosine: one, tangent: nudged(x, true) };
  }
  const { quadrant, rest } = reduced(x);
  const [s, c] = [fixed.sine(rest), fixed.cosine(rest)];
  const turned: readonly (readonly [bigint, bigint])[] = [
    [s, c],
    [c, -s],
    [-s, -c],
    [-c, s],
  ];
  const [sine = s, cosine = c] = turned[quadrant] ?? [];
  return {
    sine: fromFixed(sine),
    cosine: fromFixed(cosine),
    tangent: quotient(fromFixed(sine), fromFixed(cosine), 120),
  };
}

/** Farther from zero there is no result; C2 says so. */
const tooLarge = (x: Float): boolean => x.kind === FloatKind.finite && magnitude(x) >= 63;

function angle(r: X87Registers): Float | undefined {
  const x = r.get(0);
  if (!tooLarge(x)) {
    r.status &= ~STATUS.C2;
    return x;
  }
  r.raise(0);
  r.status |= STATUS.C2;
  return undefined;
}

const trigonometric =
  (pick: 'sine' | 'cosine'): X87Operation =>
  ({ r }) => {
    if (r.isEmpty(0)) {
      if (r.stackFault()) r.set(0, INDEFINITE);
      r.status &= ~STATUS.C2;
      return;
    }
    const x = angle(r);
    if (x) finish(r, 0, oneFunction(r, x, pick));
  };

function oneFunction(r: X87Registers, x: Float, pick: 'sine' | 'cosine' | 'tangent'): Rounded {
  const invalid = invalidOperands([x]);
  if (invalid) return invalid;
  if (x.kind === FloatKind.infinity) return INVALID;
  if (x.kind === FloatKind.zero) return special(pick === 'cosine' ? ONE : x);
  return rounded(r, sineAndCosine(x)[pick], denormalFlag(x));
}

/** Two results: the first replaces ST(0), the second is pushed. */
const pushing =
  (first: 'sine' | 'tangent'): X87Operation =>
  ({ r }) => {
    const empty = r.isEmpty(0);
    if (empty || !r.isEmpty(7)) {
      r.status &= ~STATUS.C2;
      if (!r.stackFault(!empty)) return;
      r.set(0, INDEFINITE);
      r.top -= 1;
      r.set(0, INDEFINITE);
      return;
    }
    const x = angle(r);
    if (!x) return;
    const lower = oneFunction(r, x, first);
    const invalid = (lower.flags & FLAG.invalid) !== 0 || lower.value.kind === FloatKind.quiet;
    const upper = invalid ? lower : first === 'tangent' ? special(ONE) : oneFunction(r, x, 'cosine');
    if (!r.raise(lower.flags | upper.flags, lower.up)) return;
    r.set(0, lower.value);
    r.top -= 1;
    r.set(0, upper.value);
  };

const unary =
  (operation: (x: Float, r: X87Registers) => Rounded): X87Operation =>
  ({ r }) => {
    if (r.isEmpty(0)) {
      if (r.stackFault()) r.set(0, INDEFINITE);
      return;
    }
    const x = r.get(0);
    finish(r, 0, invalidOperands([x]) ?? operation(x, r));
  };

/** ST(1) = f(ST(0), ST(1)), then a pop. */
const popping =
  (operation: (x: Float, y: Float, r: X87Registers) => Rounded): X87Operation =>
  ({ r }: X87Context) => {
    if (r.isEmpty(0) || r.isEmpty(1)) {
      if (!r.stackFault()) return;
      r.set(1, INDEFINITE);
      r.pop();
      return;
    }
    const [x, y] = [r.get(0), r.get(1)];
    finish(r, 1, invalidOperands([x, y]) ?? operation(x, y, r), 1);
  };

export const TRANSCENDENTALS: Readonly<Record<string, X87Operation>> = {
  F2XM1: unary(powerLess1),
  FYL2X: popping(logarithm),
  FYL2XP1: popping(logarithmOfMore),
  FPATAN: popping(arcTangent),
  FSIN: trigonometric('sine'),
  FCOS: trigonometric('cosine'),
  FSINCOS: pushing('sine'),
  FPTAN: pushing('tangent'),
};
