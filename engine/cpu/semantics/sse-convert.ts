import type { FunctionBuilder, Value } from '../wasm/function-builder.js';
import { FLOAT } from '../wasm/opcodes.js';
import type { SemanticContext } from './context.js';
import { defineFloat } from './sse-float.js';
import { source128, vectorConstantZero } from './sse-operands.js';

/** Conversions between integers, single and double precision: APM volume 4. Floats are handled as their bits. */

type Bits = 32 | 64;

const isNan = (f: FunctionBuilder, bits: Bits, x: Value): Value => {
  const { fromBits, ne } = FLOAT[bits];
  return f.sequence(32, [x, ...fromBits, x, ...fromBits, ...ne]);
};

/** A NaN keeps sign and upper payload, and becomes quiet. */
function promote(f: FunctionBuilder, single: Value): Value {
  const x = f.let(single);
  const wide = f.let(f.zeroExtend(x, 64));
  const payload = f.shl(f.and(wide, f.constant(64, 0x7f_ffff)), 29);
  const sign = f.shl(f.and(wide, f.constant(64, 0x8000_0000n)), 32);
  const nan = f.or(f.or(sign, payload), f.constant(64, 0x7ff8n << 48n));
  const plain = f.sequence(64, [x, ...FLOAT[32].fromBits, ...FLOAT.promote, ...FLOAT[64].toBits]);
  return f.let(f.select(isNan(f, 32, x), nan, plain));
}

function demote(f: FunctionBuilder, double: Value): Value {
  const x = f.let(double);
  const sign = f.and(f.zeroExtend(f.shrU(x, 32), 32), f.constant(32, 0x8000_0000n));
  const payload = f.and(f.zeroExtend(f.shrU(x, 29), 32), 0x3f_ffff);
  const nan = f.or(f.or(sign, payload), f.constant(32, 0x7fc0_0000));
  const plain = f.sequence(32, [x, ...FLOAT[64].fromBits, ...FLOAT.demote, ...FLOAT[32].toBits]);
  return f.let(f.select(isNan(f, 64, x), nan, plain));
}

/** First power of two that the integer cannot hold, as bits of a float. */
const LIMIT: Readonly<Record<Bits, Readonly<Record<Bits, bigint>>>> = {
  32: { 32: 0x4f00_0000n, 64: 0x5f00_0000n },
  64: { 32: 0x41e0_0000_0000_0000n, 64: 0x43e0_0000_0000_0000n },
};

/** What does not fit, and NaN, give the integer with only the top bit set. */
function toInteger(f: FunctionBuilder, from: Bits, to: Bits, value: Value, truncates: boolean): Value {
  const { fromBits, nearest, lt, toInteger: convert } = FLOAT[from];
  const x = f.let(value);
  const fits = f.sequence(32, [x, ...fromBits, f.constant(from, LIMIT[from][to]), ...fromBits, ...lt]);
  const rounded = truncates ? [] : nearest;
  const converted = f.sequence(to, [x, ...fromBits, ...rounded, ...convert[to]]);
  return f.let(f.select(fits, converted, f.constant(to, 1n << BigInt(to - 1))));
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
      i.write(0, toInteger(f, bits, to, i.read(1, bits), truncates));
    });
  }
}

defineFloat('CVTSS2SD', (i, f) => {
  const x = promote(f, i.read(1, 32));
  i.write(0, f.replaceLane(i.read(0, 128), 0, x));
});
defineFloat('CVTSD2SS', (i, f) => {
  const x = demote(f, i.read(1, 64));
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
  writeAll(i, f, [promote(f, f.zeroExtend(both, 32)), promote(f, f.zeroExtend(f.shrU(both, 32), 32))]);
});
defineFloat('CVTPD2PS', (i, f) => {
  const v = f.let(source128(i, f));
  writeAll(
    i,
    f,
    lanesOf(f, 64, v).map((x) => demote(f, x)),
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
      lanesOf(f, bits, v).map((x) => toInteger(f, bits, 32, x, truncates)),
    );
  });
}
defineFloat('CVTDQ2PS', (i, f) => i.write(0, f.vector('f32x4.convert_i32x4_s', source128(i, f))));
defineFloat('CVTDQ2PD', (i, f) => {
  const both = f.replaceLane(vectorConstantZero(f), 0, i.read(1, 64));
  i.write(0, f.vector('f64x2.convert_low_i32x4_s', both));
});
