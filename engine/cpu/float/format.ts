import { type Float, FloatKind, infinity, magnitude, nan, normalised, unsupported, zero } from './float.js';

/** Encodings: single and double precision of IEEE 754, and the 80 bits of the x87 unit. APM volume 1, chapter 6. */

export interface Format {
  /** Bits of the significand, the highest included. */
  readonly precision: number;
  /** Power of two of the smallest and the largest normal number. */
  readonly smallest: number;
  readonly largest: number;
}

export interface Interchange extends Format {
  readonly bits: 32 | 64;
}

export const SINGLE: Interchange = { bits: 32, precision: 24, smallest: -126, largest: 127 };
export const DOUBLE: Interchange = { bits: 64, precision: 53, smallest: -1022, largest: 1023 };
export const EXTENDED: Format = { precision: 64, smallest: -16382, largest: 16383 };

export function decodeFloat(bits: bigint, format: Interchange): Float {
  const field = BigInt(format.precision - 1);
  const negative = bits >> BigInt(format.bits - 1) !== 0n;
  const fraction = bits & ((1n << field) - 1n);
  const exponent = Number((bits >> field) & BigInt(2 * format.largest + 1));
  if (exponent === 2 * format.largest + 1) {
    return fraction === 0n ? infinity(negative) : nan(negative, fraction << (63n - field));
  }
  if (exponent === 0) {
    if (fraction === 0n) return zero(negative);
    return normalised({ negative, significand: fraction, exponent: format.smallest - Number(field) }, true);
  }
  const significand = ((1n << field) | fraction) << (63n - field);
  return { kind: FloatKind.finite, negative, significand, exponent: exponent - format.largest - 63, denormal: false };
}

/** The number must have been rounded to the format. */
export function encodeFloat(x: Float, format: Interchange): bigint {
  const field = BigInt(format.precision - 1);
  const sign = x.negative ? 1n << BigInt(format.bits - 1) : 0n;
  const special = BigInt(2 * format.largest + 1) << field;
  const fraction = x.significand >> (63n - field);
  const mask = (1n << field) - 1n;
  switch (x.kind) {
    case FloatKind.zero:
      return sign;
    case FloatKind.finite: {
      const below = format.smallest - magnitude(x);
      if (below > 0) return sign | (fraction >> BigInt(below));
      return sign | (BigInt(magnitude(x) + format.largest) << field) | (fraction & mask);
    }
    case FloatKind.infinity:
      return sign | special;
    default:
      return sign | special | (fraction & mask);
  }
}

const BIAS = 16383;
const SPECIAL = 0x7fff;
const TOP_BIT = 1n << 63n;

/** 80 bits: significand, and sign with exponent. */
export function decodeExtended(significand: bigint, signAndExponent: number): Float {
  const negative = (signAndExponent & 0x8000) !== 0;
  const exponent = signAndExponent & SPECIAL;
  const integer = (significand & TOP_BIT) !== 0n;
  if (exponent === 0) {
    if (significand === 0n) return zero(negative);
    return normalised({ negative, significand, exponent: EXTENDED.smallest - 63 }, true);
  }
  if (!integer) return unsupported(negative, significand);
  if (exponent === SPECIAL) return significand === TOP_BIT ? infinity(negative) : nan(negative, significand);
  return { kind: FloatKind.finite, negative, significand, exponent: exponent - BIAS - 63, denormal: false };
}

export function encodeExtended(x: Float): { significand: bigint; signAndExponent: number } {
  const sign = x.negative ? 0x8000 : 0;
  switch (x.kind) {
    case FloatKind.zero:
      return { significand: 0n, signAndExponent: sign };
    case FloatKind.finite: {
      const below = EXTENDED.smallest - magnitude(x);
      if (below > 0) return { significand: x.significand >> BigInt(below), signAndExponent: sign };
      return { significand: x.significand, signAndExponent: sign | (magnitude(x) + BIAS) };
    }
    default:
      return { significand: x.significand, signAndExponent: sign | SPECIAL };
  }
}
