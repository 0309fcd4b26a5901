import {
  bitLength,
  FLAG,
  type Float,
  FloatKind,
  INDEFINITE,
  infinity,
  magnitude,
  normalised,
  zero,
} from '../../float/float.js';
import { EXTENDED } from '../../float/format.js';
import { type Rounded, RoundingMode, roundsUp, roundToInteger } from '../../float/round.js';
import { denormalFlag, finish, invalidOperands, roundResult } from './arithmetic.js';
import type { X87Context, X87Operation } from './instruction.js';
import { STATUS, type X87Registers } from './registers.js';
import { push } from './transfers.js';

/** Sign, class, rounding, scaling, remainders and constants: APM volume 5. */

/** Replaces ST(0) by a function of it. */
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

const changeSign =
  (change: (signAndExponent: number) => number): X87Operation =>
  ({ r }) => {
    if (r.isEmpty(0)) {
      if (r.stackFault()) r.set(0, INDEFINITE);
      return;
    }
    r.raise(0);
    const { significand, signAndExponent } = r.raw(0);
    r.setRaw(0, { significand, signAndExponent: change(signAndExponent) });
  };

/** C3, C2 and C0 by kind; C1 is the sign, of an empty register too. */
function examine({ r }: X87Context): void {
  const x = r.get(0);
  const { C0, C2, C3 } = STATUS;
  const finite = x.denormal ? C2 | C3 : C2;
  const classes: Readonly<Record<FloatKind, number>> = {
    [FloatKind.unsupported]: 0,
    [FloatKind.quiet]: C0,
    [FloatKind.signalling]: C0,
    [FloatKind.finite]: finite,
    [FloatKind.infinity]: C0 | C2,
    [FloatKind.zero]: C3,
  };
  r.raise(0, x.negative);
  r.setConditions(r.isEmpty(0) ? C0 | C3 : classes[x.kind]);
}

const toInteger = unary((x, r) => {
  if (x.kind !== FloatKind.finite) return { value: x, flags: 0, up: false };
  const rounded = roundToInteger(x, r.rounding);
  const value = normalisedInteger(x.negative, rounded.magnitude);
  if ((denormalFlag(x) & ~r.masks) !== 0) return { value, flags: FLAG.denormal, up: false };
  return { value, flags: denormalFlag(x) | (rounded.inexact ? FLAG.inexact : 0), up: rounded.up };
});

/** A finite number that has no fraction has more than 64 bits only if its low ones are zero. */
function normalisedInteger(negative: boolean, significand: bigint): Float {
  const excess = Math.max(0, bitLength(significand) - 64);
  return normalised({ negative, significand: significand >> BigInt(excess), exponent: excess });
}

/** Beyond this every scaled number has left the range. */
const FARTHEST = 0x1_0000;

function scale(x: Float, by: Float, r: X87Registers): Rounded {
  const plain = (value: Float, flags: number): Rounded => ({ value, flags, up: false });
  const before = denormalFlag(x, by);
  if (by.kind === FloatKind.infinity) {
    if (by.negative) {
      if (x.kind === FloatKind.infinity) return plain(INDEFINITE, FLAG.invalid);
      return plain(zero(x.negative), before);
    }
    if (x.kind === FloatKind.zero) return plain(INDEFINITE, FLAG.invalid);
    return plain(infinity(x.negative), before);
  }
  if (x.kind !== FloatKind.finite) return plain(x, before);
  const whole = roundToInteger(by, RoundingMode.truncate).magnitude;
  const distance = Number(whole > BigInt(FARTHEST) ? BigInt(FARTHEST) : whole);
  const exact = { ...x, exponent: x.exponent + (by.negative ? -distance : distance) };
  return roundResult(r, { kind: 'exact', exact }, before, EXTENDED.precision);
}

/** Both operands are on the stack, the result replaces ST(0). */
export const binary =
  (operation: (a: Float, b: Float, r: X87Registers) => Rounded): X87Operation =>
  ({ r }) => {
    if (r.isEmpty(0) || r.isEmpty(1)) {
      if (r.stackFault()) r.set(0, INDEFINITE);
      return;
    }
    const [a, b] = [r.get(0), r.get(1)];
    finish(r, 0, invalidOperands([a, b]) ?? operation(a, b, r));
  };

/** Exponent into ST(0), then the significand on top of it. */
function extract({ r }: X87Context): void {
  const full = !r.isEmpty(7);
  if (r.isEmpty(0) || full) {
    if (!r.stackFault(!r.isEmpty(0))) return;
    r.set(0, INDEFINITE);
    r.top -= 1;
    r.set(0, INDEFINITE);
    return;
  }
  const x = r.get(0);
  const invalid = invalidOperands([x]);
  let [exponent, significand, flags] = [x, x, denormalFlag(x)];
  if (invalid) [exponent, significand, flags] = [invalid.value, invalid.value, invalid.flags];
  else if (x.kind === FloatKind.zero) [exponent, flags] = [infinity(true), FLAG.zeroDivide];
  else if (x.kind === FloatKind.infinity) exponent = infinity(false);
  else {
    const power = magnitude(x);
    exponent = normalised({ negative: power < 0, significand: BigInt(Math.abs(power)), exponent: 0 });
    significand = { ...x, exponent: -63, denormal: false };
  }
  if (!r.raise(flags)) return;
  r.set(0, exponent);
  r.top -= 1;
  r.set(0, significand);
}

/** Low bits of the quotient: C0, C3, C1 from bit 2 down; C2 if the remainder is only partial. */
function remainder({ r }: X87Context, nearest: boolean): void {
  // Whatever comes, C2 tells of a partial remainder only.
  r.status &= ~STATUS.C2;
  if (r.isEmpty(0) || r.isEmpty(1)) {
    if (r.stackFault()) r.set(0, INDEFINITE);
    return;
  }
  const [a, b] = [r.get(0), r.get(1)];
  const invalid = invalidOperands([a, b]);
  if (invalid || a.kind === FloatKind.infinity || b.kind === FloatKind.zero) {
    // There is no quotient: C0 and C3 stay.
    finish(r, 0, invalid ?? { value: INDEFINITE, flags: FLAG.invalid, up: false });
    return;
  }
  const before = denormalFlag(a, b);
  if (a.kind === FloatKind.zero || b.kind === FloatKind.infinity) {
    const unchanged = roundResult(r, { kind: 'exact', exact: a }, before, EXTENDED.precision);
    finishRemainder(r, unchanged, 0n, false);
    return;
  }
  const distance = a.exponent - b.exponent;
  // Far apart, one step takes part of the quotient's bits.
  const partial = distance >= 64;
  const skipped = partial ? distance - (32 + (distance & 31)) : 0;
  const unit = Math.min(a.exponent, b.exponent + skipped);
  const dividend = a.significand << BigInt(Math.min(a.exponent - unit, 200));
  const divisor = b.significand << BigInt(Math.min(b.exponent + skipped - unit, 200));
  let count = dividend / divisor;
  let rest = dividend - count * divisor;
  let negative = a.negative;
  const twice = 2n * rest;
  if (nearest && !partial && (twice > divisor || (twice === divisor && (count & 1n) !== 0n))) {
    count += 1n;
    rest = divisor - rest;
    negative = !negative;
  }
  const exact = { negative, significand: rest, exponent: unit };
  const value = rest === 0n ? zero(a.negative) : exact;
  const result = roundResult(r, { kind: 'exact', exact: value }, before, EXTENDED.precision);
  finishRemainder(r, result, partial ? 0n : count, partial);
}

function finishRemainder(r: X87Registers, result: Rounded, count: bigint, partial: boolean): void {
  if (!r.raise(result.flags)) return;
  const bit = (n: bigint): boolean => ((count >> n) & 1n) !== 0n;
  const { C0, C1, C2, C3 } = STATUS;
  r.setConditions((bit(2n) ? C0 : 0) | (bit(1n) ? C3 : 0) | (partial ? C2 : 0));
  if (bit(0n)) r.status |= C1;
  r.set(0, result.value);
}

/** Constants with the bits behind their 64, which rounding control looks at. */
const CONSTANTS: Readonly<Record<string, readonly [significand: bigint, exponent: number]>> = {
  FLD1: [1n << 66n, -66],
  FLDL2T: [(0xd49a_784b_cd1b_8afen << 3n) | 3n, -65],
  FLDL2E: [(0xb8aa_3b29_5c17_f0bbn << 3n) | 5n, -66],
  FLDPI: [(0xc90f_daa2_2168_c234n << 3n) | 6n, -65],
  FLDLG2: [(0x9a20_9a84_fbcf_f798n << 3n) | 5n, -68],
  FLDLN2: [(0xb172_17f7_d1cf_79abn << 3n) | 6n, -67],
  FLDZ: [0n, 0],
};

const loadConstant =
  ([significand, exponent]: readonly [bigint, number]): X87Operation =>
  ({ r }) => {
    r.raise(0);
    const low = Number(significand & 7n);
    const odd = ((significand >> 3n) & 1n) !== 0n;
    const up = roundsUp(r.rounding, false, (low & 4) !== 0, (low & 3) !== 0, odd);
    const rounded = (significand >> 3n) + (up ? 1n : 0n);
    push(r, () => r.set(0, normalised({ negative: false, significand: rounded, exponent: exponent + 3 })));
  };

export const OPERATIONS: Readonly<Record<string, X87Operation>> = {
  FCHS: changeSign((s) => s ^ 0x8000),
  FABS: changeSign((s) => s & 0x7fff),
  FXAM: examine,
  FRNDINT: toInteger,
  FSCALE: binary(scale),
  FXTRACT: extract,
  FPREM: (context) => remainder(context, false),
  FPREM1: (context) => remainder(context, true),
  FINCSTP: ({ r }) => {
    r.raise(0);
    r.top += 1;
  },
  FDECSTP: ({ r }) => {
    r.raise(0);
    r.top -= 1;
  },
  FFREE: ({ i, r }) => {
    r.raise(0);
    r.free(i.modrm & 7);
  },
  FFREEP: ({ i, r }) => {
    r.raise(0);
    r.free(i.modrm & 7);
    r.pop();
  },
  FNOP: () => {},
  ...Object.fromEntries(Object.entries(CONSTANTS).map(([name, value]) => [name, loadConstant(value)])),
};
