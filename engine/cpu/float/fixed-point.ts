import { integerRoot } from './arithmetic.js';

/**
 * Elementary functions of fixed-point numbers: bigints that count units of 2^-BITS. Errors are a few units, so that
 * a result of normal size is right to far more than the 64 bits of double-extended precision.
 */

export const BITS = 320;
const SHIFT = BigInt(BITS);
export const ONE = 1n << SHIFT;

export const multiply = (a: bigint, b: bigint): bigint => (a * b) >> SHIFT;
export const divide = (a: bigint, b: bigint): bigint => (a << SHIFT) / b;

/** Sum of terms, each made from the one before, until they vanish. */
function series(first: bigint, next: (term: bigint, n: number) => bigint, weight = (term: bigint, _n: number) => term) {
  let sum = 0n;
  let term = first;
  for (let n = 1; term !== 0n && term !== -1n; n++) {
    sum += weight(term, n);
    term = next(term, n);
  }
  return sum;
}

/** atanh(x), |x| ≤ 1/3. */
function hyperbolic(x: bigint): bigint {
  const square = multiply(x, x);
  return series(
    x,
    (power) => multiply(power, square),
    (power, n) => power / BigInt(2 * n - 1),
  );
}

/** atan(x), |x| small. */
function smallArcTangent(x: bigint): bigint {
  const square = -multiply(x, x);
  return series(
    x,
    (power) => multiply(power, square),
    (power, n) => power / BigInt(2 * n - 1),
  );
}

export const LN2 = 2n * hyperbolic(ONE / 3n);
/** Machin: π/4 = 4 atan(1/5) − atan(1/239). */
export const PI = 4n * (4n * smallArcTangent(ONE / 5n) - smallArcTangent(ONE / 239n));

/** ln(x), x between 1/2 and 2. */
export const logarithm = (x: bigint): bigint => 2n * hyperbolic(divide(x - ONE, x + ONE));

/** e^x − 1, |x| ≤ 1. */
export const exponentialLess1 = (x: bigint): bigint => series(x, (term, n) => multiply(term, x) / BigInt(n + 1));

/** sin(x), cos(x), |x| ≤ π/4. */
export function sine(x: bigint): bigint {
  const square = -multiply(x, x);
  return series(x, (term, n) => multiply(term, square) / BigInt(2 * n * (2 * n + 1)));
}
export function cosine(x: bigint): bigint {
  const square = -multiply(x, x);
  return series(ONE, (term, n) => multiply(term, square) / BigInt((2 * n - 1) * 2 * n));
}

/** atan(x), 0 ≤ x ≤ 1: the angle is halved three times first. */
export function arcTangent(x: bigint): bigint {
  let t = x;
  for (let n = 0; n < 3; n++) t = divide(t, ONE + integerRoot((ONE + multiply(t, t)) << SHIFT));
  return 8n * smallArcTangent(t);
}
