import type { Instruction } from '../../decoder/instruction.js';
import { quotient, rootOfFloat } from '../../float/arithmetic.js';
import {
  bitLength,
  type Exact,
  type Float,
  FloatKind,
  INDEFINITE,
  infinity,
  isNan,
  normalised,
  quieted,
  zero,
} from '../../float/float.js';
import { decodeFloat, encodeFloat, SINGLE } from '../../float/format.js';
import { RoundingMode, round } from '../../float/round.js';
import type { Vcpu } from '../vcpu.js';
import { readVector, xmmView } from './control.js';

/**
 * RCPPS, RSQRTPS and their scalar forms: APM volume 4. The processor promises a relative error of at most 1.5 × 2^-12
 * and takes its results from tables of its own, which differ from one maker, and one family, to the next. Here the
 * result is the true value rounded to 13 bits, so that no other bits may be relied on. MXCSR does not count: denormals
 * are zeros, in operands and results, and there are no exceptions.
 */

const PRECISION = 13;

function settle(exact: Exact): Float {
  if (exact.exponent + bitLength(exact.significand) - 1 < SINGLE.smallest) return zero(exact.negative);
  const control = { mode: RoundingMode.nearest, masks: 0x3f };
  return round(exact, { ...SINGLE, precision: PRECISION }, control).value;
}

const ONE: Float = normalised({ negative: false, significand: 1n, exponent: 0 });

function reciprocal(x: Float): Float {
  if (isNan(x)) return quieted(x);
  if (x.kind === FloatKind.zero || x.denormal) return infinity(x.negative);
  if (x.kind === FloatKind.infinity) return zero(x.negative);
  return settle(quotient(ONE, x, 40));
}

function reciprocalRoot(x: Float): Float {
  if (isNan(x)) return quieted(x);
  if (x.kind === FloatKind.zero || x.denormal) return infinity(x.negative);
  if (x.negative) return INDEFINITE;
  if (x.kind === FloatKind.infinity) return zero(false);
  const root = rootOfFloat(x);
  return root.kind === 'exact' ? settle(quotient(ONE, root.exact, 40)) : INDEFINITE;
}

const approximation = (operation: (x: Float) => Float, lanes: number) => (v: Vcpu, i: Instruction) => {
  const from = readVector(v, i, 1);
  const to = xmmView(v, i.operands[0].register);
  for (let n = 0; n < lanes; n++) {
    const x = decodeFloat(BigInt(from.getUint32(4 * n, true)), SINGLE);
    to.setUint32(4 * n, Number(encodeFloat(operation(x), SINGLE)), true);
  }
};

export const SSE_APPROXIMATE: Readonly<Record<string, (v: Vcpu, i: Instruction) => void>> = {
  RCPPS: approximation(reciprocal, 4),
  RCPSS: approximation(reciprocal, 1),
  RSQRTPS: approximation(reciprocalRoot, 4),
  RSQRTSS: approximation(reciprocalRoot, 1),
};
