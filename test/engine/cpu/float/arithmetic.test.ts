import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  addFloats,
  compareFloats,
  divideFloats,
  multiplyFloats,
  type Outcome,
  rootOfFloat,
} from '../../../../engine/cpu/float/arithmetic.js';
import { FLAG, type Float, isNan, negated } from '../../../../engine/cpu/float/float.js';
import {
  DOUBLE,
  decodeExtended,
  decodeFloat,
  encodeExtended,
  encodeFloat,
  type Interchange,
  SINGLE,
} from '../../../../engine/cpu/float/format.js';
import { RoundingMode, round, roundToInteger } from '../../../../engine/cpu/float/round.js';

const view = new DataView(new ArrayBuffer(8));
const bitsOf = (x: number): bigint => {
  view.setFloat64(0, x);
  return view.getBigUint64(0);
};
const numberOf = (bits: bigint): number => {
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
};
const float = (x: number): Float => decodeFloat(bitsOf(x), DOUBLE);
const ALL_MASKED = 0x3f;

function numberFrom(outcome: Outcome, format: Interchange = DOUBLE): number {
  const widen = (x: Float): number => numberOf(encodeFloat(x, DOUBLE));
  switch (outcome.kind) {
    case 'invalid':
      return Number.NaN;
    case 'exact':
      return widen(round(outcome.exact, format, { mode: RoundingMode.nearest, masks: ALL_MASKED }).value);
    default:
      return widen(outcome.value);
  }
}

/** Any bits but NaNs, and often numbers whose sums and products are near the limits. */
const double = fc
  .oneof(
    fc.double({ noNaN: true }),
    fc.bigInt(0n, (1n << 64n) - 1n).map(numberOf),
    fc.integer().map((n) => n / 8),
  )
  .filter((x) => !Number.isNaN(x));

describe('softfloat against the host’s double precision', () => {
  const binary: readonly (readonly [string, (a: Float, b: Float) => Outcome, (a: number, b: number) => number])[] = [
    ['addition', (a, b) => addFloats(a, b, RoundingMode.nearest), (a, b) => a + b],
    ['subtraction', (a, b) => addFloats(a, negated(b), RoundingMode.nearest), (a, b) => a - b],
    ['multiplication', multiplyFloats, (a, b) => a * b],
    ['division', divideFloats, (a, b) => a / b],
  ];
  for (const [name, ours, host] of binary) {
    it(`${name} gives the same number, also rounded to single precision`, () => {
      fc.assert(
        fc.property(double, double, (a, b) => {
          assert.ok(Object.is(numberFrom(ours(float(a), float(b))), host(a, b)), `${a}, ${b}`);
          const [x, y] = [Math.fround(a), Math.fround(b)];
          const single = numberFrom(ours(float(x), float(y)), SINGLE);
          assert.ok(Object.is(single, Math.fround(host(x, y))), `single ${x}, ${y}`);
        }),
        { numRuns: 2000 },
      );
    });
  }

  it('square roots are the same, and so is the order', () => {
    fc.assert(
      fc.property(double, double, (a, b) => {
        assert.ok(Object.is(numberFrom(rootOfFloat(float(a))), Math.sqrt(a)), `${a}`);
        assert.equal(compareFloats(float(a), float(b)), a < b ? -1 : a > b ? 1 : 0);
      }),
      { numRuns: 2000 },
    );
  });

  it('the inexact flag is set exactly when the product of two integers is rounded', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.maxSafeInteger(), (a, b) => {
        const outcome = multiplyFloats(float(a), float(b));
        if (outcome.kind !== 'exact') return;
        const { flags } = round(outcome.exact, DOUBLE, { mode: RoundingMode.nearest, masks: ALL_MASKED });
        assert.equal(flags, BigInt(a) * BigInt(b) === BigInt(a * b) ? 0 : FLAG.inexact);
      }),
    );
  });

  it('rounding to an integer follows the four modes', () => {
    const modes: readonly (readonly [RoundingMode, (x: number) => number])[] = [
      [RoundingMode.down, Math.floor],
      [RoundingMode.up, Math.ceil],
      [RoundingMode.truncate, Math.trunc],
    ];
    fc.assert(
      fc.property(fc.double({ min: -1e15, max: 1e15, noNaN: true }), (x) => {
        for (const [mode, host] of modes) {
          assert.equal(Number(roundToInteger(float(x), mode).magnitude), Math.abs(host(x)));
        }
      }),
    );
    assert.deepEqual(
      [0.5, 1.5, 2.5].map((x) => roundToInteger(float(x), RoundingMode.nearest).magnitude),
      [0n, 2n, 2n],
    );
  });
});

describe('rounding at the limits of a format', () => {
  const times = (a: number, b: number, mode: RoundingMode, flushToZero = false): readonly [number, number] => {
    const outcome = multiplyFloats(float(a), float(b));
    assert.equal(outcome.kind, 'exact');
    if (outcome.kind !== 'exact') return [0, 0];
    const { value, flags } = round(outcome.exact, DOUBLE, { mode, masks: ALL_MASKED, flushToZero });
    return [numberOf(encodeFloat(value, DOUBLE)), flags];
  };
  const tooLarge = FLAG.overflow | FLAG.inexact;
  const tooSmall = FLAG.underflow | FLAG.inexact;

  it('an overflow gives infinity or the largest number, by mode and sign', () => {
    const { MAX_VALUE, POSITIVE_INFINITY } = Number;
    assert.deepEqual(times(1e300, 1e300, RoundingMode.nearest), [POSITIVE_INFINITY, tooLarge]);
    assert.deepEqual(times(1e300, 1e300, RoundingMode.down), [MAX_VALUE, tooLarge]);
    assert.deepEqual(times(-1e300, 1e300, RoundingMode.down), [-POSITIVE_INFINITY, tooLarge]);
    assert.deepEqual(times(-1e300, 1e300, RoundingMode.truncate), [-MAX_VALUE, tooLarge]);
  });

  it('a masked underflow is flagged only if it is inexact; tininess is judged after rounding', () => {
    const smallest = 2 ** -1022;
    assert.deepEqual(times(smallest, 0.5, RoundingMode.nearest), [smallest / 2, 0]);
    assert.deepEqual(times(smallest, 0.3, RoundingMode.nearest), [smallest * 0.3, tooSmall]);
    // Rounds up to the smallest normal number either way, but with all 53 bits it would not.
    const [below, above] = [1 - 2 ** -53, 1 - 2 ** -53];
    assert.deepEqual(times(smallest, below, RoundingMode.nearest), [smallest, tooSmall]);
    assert.deepEqual(times(smallest * (1 + 2 ** -52), above, RoundingMode.up), [
      smallest * (1 + 2 ** -52),
      FLAG.inexact,
    ]);
    assert.deepEqual(times(smallest, 0.3, RoundingMode.nearest, true), [0, tooSmall]);
  });
});

describe('encodings', () => {
  const same = (bits: bigint, format: Interchange): void => {
    const x = decodeFloat(bits, format);
    assert.equal(encodeFloat(x, format), bits);
  };
  it('decoding and encoding single, double and extended precision changes nothing', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, (1n << 64n) - 1n), fc.integer({ min: 0, max: 0xffff }), (bits, high) => {
        same(bits, DOUBLE);
        same(bits & 0xffff_ffffn, SINGLE);
        // A pseudo-denormal is the one encoding that has a number and comes back as another encoding of it.
        const significand = (high & 0x7fff) === 0 ? bits & ~(1n << 63n) : bits;
        assert.deepEqual(
          encodeExtended(decodeExtended(significand, high)),
          isNan(decodeExtended(significand, high)) || significand >> 63n !== 0n || (high & 0x7fff) === 0
            ? { significand, signAndExponent: high }
            : { significand, signAndExponent: high | 0x7fff },
        );
      }),
    );
  });
});
