import type { FunctionBuilder, Value } from '../wasm/function-builder.js';
import { FLOAT } from '../wasm/opcodes.js';
import type { SemanticContext } from './context.js';
import { defineFloat } from './sse-float.js';
import { source128, vectorConstantZero } from './sse-operands.js';

/** Conversions between integers, single and double precision: APM volume 4. Floats are handled as their bits. */

type Bits = 32 | 64;

/** Twice the bits of a single: the sign is gone. */
const withoutSign = (f: FunctionBuilder, x: Value): Value => f.let(f.shl(x, 1));
const SPECIAL = -0x100_0000;
const SMALLEST_NORMAL = 0x100_0000;

/** NaNs, infinities and denormals may set flags in MXCSR. */
function promote(i: SemanticContext, f: FunctionBuilder, single: Value): Value {
  const x = f.let(single);
  const size = withoutSign(f, x);
  const denormal = f.compare('ltU', f.sub(size, 1), SMALLEST_NORMAL - 1);
  f.if(f.or(f.compare('geU', size, SPECIAL), denormal), () => i.continueInTypeScript());
  return f.let(f.sequence(64, [x, ...FLOAT[32].fromBits, ...FLOAT.promote, ...FLOAT[64].toBits]));
}

/** So may results that are special or tiny. */
function demote(i: SemanticContext, f: FunctionBuilder, double: Value): Value {
  const x = f.let(double);
  const result = f.let(f.sequence(32, [x, ...FLOAT[64].fromBits, ...FLOAT.demote, ...FLOAT[32].toBits]));
  const size = withoutSign(f, result);
  const tiny = f.and(f.compare('leU', size, SMALLEST_NORMAL), f.notZero(f.shl(x, 1)));
  f.if(f.or(f.compare('geU', size, SPECIAL), tiny), () => i.continueInTypeScript());
  return result;
}

/** First power of two that the integer cannot hold, as bits of a float. */
const LIMIT: Readonly<Record<Bits, Readonly<Record<Bits, bigint>>>> = {
  32: { 32: 0x4f00_0000n, 64: 0x5f00_0000n },
  64: { 32: 0x41e0_0000_0000_0000n, 64: 0x43e0_0000_0000_0000n },
};

/** What does not fit, and NaN, would give the integer with only the top bit set, and a flag. */
function toInteger(
  i: SemanticContext,
  f: FunctionBuilder,
  from: Bits,
  to: Bits,
  value: Value,
  truncates: boolean,
): Value {
  const { fromBits, nearest, lt, toInteger: convert } = FLOAT[from];
  const x = f.let(value);
  const fits = f.sequence(32, [x, ...fromBits, f.constant(from, LIMIT[from][to]), ...fromBits, ...lt]);
  const rounded = truncates ? [] : nearest;
  const converted = f.sequence(to, [x, ...fromBits, ...rounded, ...convert[to]]);
  const indefinite = f.constant(to, 1n << BigInt(to - 1));
  const result = f.let(f.select(fits, converted, indefinite));
  f.if(f.compare('eq', result, indefinite), () => i.continueInTypeScript());
  return result;
}

const fromInteger = (f: FunctionBuilder, to: Bits, x: Value): Value =>
  f.sequence(to, [x, ...FLOAT[to].fromInteger[x.width as Bits], ...FLOAT[to].toBits]);

for (const [suffix, bits] of [
  ['SS', 32],
  ['SD', 64],
] as const) {
  defineFloat(`CVTSI2${suffix}`, (i, f) => {
    const x = i.read(1);
    i.write(0, f.replaceLane(i.read(0, 128), 0, fromInteger(f, bits, x)));
  });
  for (const truncates of [true, false]) {
    defineFloat(`CVT${truncates ? 'T' : ''}${suffix}2SI`, (i, f) => {
      const to = i.form.operands[0]?.size === 8 ? 64 : 32;
      i.write(0, toInteger(i, f, bits, to, i.read(1, bits), truncates));
    });
  }
}

defineFloat('CVTSS2SD', (i, f) => {
  const x = promote(i, f, i.read(1, 32));
  i.write(0, f.replaceLane(i.read(0, 128), 0, x));
});
defineFloat('CVTSD2SS', (i, f) => {
  const x = demote(i, f, i.read(1, 64));
  i.write(0, f.replaceLane(i.read(0, 128), 0, x));
});

/** Lanes of a new vector; those not given are zero. */
function writeAll(i: SemanticContext, f: FunctionBuilder, values: readonly Value[]): void {
  let result = vectorConstantZero(f);
  for (const [lane, value] of values.entries()) result = f.replaceLane(result, lane, value);
  i.write(0, result);
}
const lanesOf = (f: FunctionBuilder, bits: Bits, v: Value): Value[] =>
  Array.from({ length: 128 / bits }, (_, lane) => f.extractLane(bits, v, lane));

defineFloat('CVTPS2PD', (i, f) => {
  const both = i.read(1, 64);
  writeAll(i, f, [promote(i, f, f.zeroExtend(both, 32)), promote(i, f, f.zeroExtend(f.shrU(both, 32), 32))]);
});
defineFloat('CVTPD2PS', (i, f) => {
  const v = f.let(source128(i, f));
  writeAll(
    i,
    f,
    lanesOf(f, 64, v).map((x) => demote(i, f, x)),
  );
});
for (const [name, bits, truncates] of [
  ['CVTPS2DQ', 32, false],
  ['CVTTPS2DQ', 32, true],
  ['CVTPD2DQ', 64, false],
  ['CVTTPD2DQ', 64, true],
] as const) {
  defineFloat(name, (i, f) => {
    const v = f.let(source128(i, f));
    writeAll(
      i,
      f,
      lanesOf(f, bits, v).map((x) => toInteger(i, f, bits, 32, x, truncates)),
    );
  });
}
defineFloat('CVTDQ2PS', (i, f) => i.write(0, f.vector('f32x4.convert_i32x4_s', source128(i, f))));
defineFloat('CVTDQ2PD', (i, f) => {
  const both = f.replaceLane(vectorConstantZero(f), 0, i.read(1, 64));
  i.write(0, f.vector('f64x2.convert_low_i32x4_s', both));
});
