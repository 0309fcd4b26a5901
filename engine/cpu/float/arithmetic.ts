import { bitLength, type Exact, type Float, FloatKind, infinity, zero } from './float.js';
import { RoundingMode } from './round.js';

/**
 * Operations on numbers that are no NaNs, exact or with one sticky bit below all that count. NaNs are the business of
 * the units, which treat them differently.
 */

/** `exact` is still to be rounded; `invalid` and `divideByZero` name the exception. */
export type Outcome =
  | { readonly kind: 'exact'; readonly exact: Exact }
  | { readonly kind: 'special'; readonly value: Float }
  | { readonly kind: 'invalid' }
  | { readonly kind: 'divideByZero'; readonly value: Float };

const exact = (value: Exact): Outcome => ({ kind: 'exact', exact: value });
const specialValue = (value: Float): Outcome => ({ kind: 'special', value });
const INVALID: Outcome = { kind: 'invalid' };

/** Farther apart than this, the smaller operand is only a sticky bit. */
const FAR = 200;

export function addFloats(a: Float, b: Float, mode: RoundingMode): Outcome {
  if (a.kind === FloatKind.infinity || b.kind === FloatKind.infinity) {
    if (a.kind === b.kind && a.negative !== b.negative) return INVALID;
    return specialValue(a.kind === FloatKind.infinity ? a : b);
  }
  const nothing = mode === RoundingMode.down;
  if (a.kind === FloatKind.zero && b.kind === FloatKind.zero)
    return specialValue(zero(a.negative === b.negative ? a.negative : nothing));
  if (a.kind === FloatKind.zero) return exact(b);
  if (b.kind === FloatKind.zero) return exact(a);
  const [big, small] = a.exponent >= b.exponent ? [a, b] : [b, a];
  const distance = big.exponent - small.exponent;
  const signed = (x: Exact, significand: bigint): bigint => (x.negative ? -significand : significand);
  const exponent = distance > FAR ? big.exponent - FAR : small.exponent;
  const shifted = big.significand << BigInt(Math.min(distance, FAR));
  const sum = signed(big, shifted) + signed(small, distance > FAR ? 1n : small.significand);
  if (sum === 0n) return specialValue(zero(nothing));
  return exact({ negative: sum < 0n, significand: sum < 0n ? -sum : sum, exponent });
}

export function multiplyFloats(a: Float, b: Float): Outcome {
  const negative = a.negative !== b.negative;
  if (a.kind === FloatKind.infinity || b.kind === FloatKind.infinity) {
    if (a.kind === FloatKind.zero || b.kind === FloatKind.zero) return INVALID;
    return specialValue(infinity(negative));
  }
  if (a.kind === FloatKind.zero || b.kind === FloatKind.zero) return specialValue(zero(negative));
  return exact({ negative, significand: a.significand * b.significand, exponent: a.exponent + b.exponent });
}

/** Quotient of positive numbers with at least `bits` bits, and a sticky bit below. */
export function quotient(a: Exact, b: Exact, bits: number): Exact {
  const shift = Math.max(0, bits + bitLength(b.significand) - bitLength(a.significand) + 1);
  const dividend = a.significand << BigInt(shift);
  const whole = dividend / b.significand;
  const sticky = whole * b.significand === dividend ? 0n : 1n;
  return {
    negative: a.negative !== b.negative,
    significand: (whole << 1n) | sticky,
    exponent: a.exponent - b.exponent - shift - 1,
  };
}

export function divideFloats(a: Float, b: Float): Outcome {
  const negative = a.negative !== b.negative;
  if (a.kind === FloatKind.infinity) return b.kind === FloatKind.infinity ? INVALID : specialValue(infinity(negative));
  if (b.kind === FloatKind.infinity) return specialValue(zero(negative));
  if (b.kind === FloatKind.zero) {
    return a.kind === FloatKind.zero ? INVALID : { kind: 'divideByZero', value: infinity(negative) };
  }
  if (a.kind === FloatKind.zero) return specialValue(zero(negative));
  return exact(quotient(a, b, 66));
}

/** Largest integer whose square is at most x. */
export function integerRoot(x: bigint): bigint {
  if (x < 2n) return x;
  let guess = 1n << BigInt((bitLength(x) + 1) >> 1);
  for (;;) {
    const next = (guess + x / guess) >> 1n;
    if (next >= guess) return guess;
    guess = next;
  }
}

export function rootOfFloat(x: Float): Outcome {
  if (x.kind === FloatKind.zero) return specialValue(x);
  if (x.negative) return INVALID;
  if (x.kind === FloatKind.infinity) return specialValue(x);
  const shift = (x.exponent & 1) + 70;
  const radicand = x.significand << BigInt(shift);
  const root = integerRoot(radicand);
  const sticky = root * root === radicand ? 0n : 1n;
  return exact({ negative: false, significand: (root << 1n) | sticky, exponent: (x.exponent - shift) / 2 - 1 });
}

/** −1, 0, 1; operands are no NaNs. */
export function compareFloats(a: Float, b: Float): number {
  const key = (x: Float): number => (x.kind === FloatKind.zero ? 0 : x.negative ? -1 : 1);
  if (key(a) !== key(b)) return key(a) < key(b) ? -1 : 1;
  if (key(a) === 0) return 0;
  const direction = key(a);
  const [bigA, bigB] = [a.kind === FloatKind.infinity, b.kind === FloatKind.infinity];
  if (bigA || bigB) return bigA === bigB ? 0 : bigA ? direction : -direction;
  if (a.exponent !== b.exponent) return a.exponent < b.exponent ? -direction : direction;
  return a.significand === b.significand ? 0 : a.significand < b.significand ? -direction : direction;
}
