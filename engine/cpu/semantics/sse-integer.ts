import type { FunctionBuilder, Value } from '../wasm/function-builder.js';
import type { VectorOperation, VectorShift } from '../wasm/opcodes.js';
import type { SemanticContext } from './context.js';
import { RFLAGS } from './flags.js';
import { define } from './registry.js';
import { source128, vectorConstantZero } from './sse-operands.js';

/** Packed integers: APM volume 4. */

type Binary = (f: FunctionBuilder, a: Value, b: Value) => Value;

function defineBinary(name: string, operation: Binary): void {
  define(name, (i, f) => {
    const b = f.let(source128(i, f));
    i.write(0, operation(f, i.read(0, 128), b));
  });
}

/** Instructions that WebAssembly has, in the same order of operands. */
const SAME: Readonly<Record<string, VectorOperation>> = {
  PADDB: 'i8x16.add',
  PADDW: 'i16x8.add',
  PADDD: 'i32x4.add',
  PADDQ: 'i64x2.add',
  PSUBB: 'i8x16.sub',
  PSUBW: 'i16x8.sub',
  PSUBD: 'i32x4.sub',
  PSUBQ: 'i64x2.sub',
  PADDSB: 'i8x16.add_sat_s',
  PADDSW: 'i16x8.add_sat_s',
  PADDUSB: 'i8x16.add_sat_u',
  PADDUSW: 'i16x8.add_sat_u',
  PSUBSB: 'i8x16.sub_sat_s',
  PSUBSW: 'i16x8.sub_sat_s',
  PSUBUSB: 'i8x16.sub_sat_u',
  PSUBUSW: 'i16x8.sub_sat_u',
  PMINUB: 'i8x16.min_u',
  PMINSB: 'i8x16.min_s',
  PMINUW: 'i16x8.min_u',
  PMINSW: 'i16x8.min_s',
  PMINUD: 'i32x4.min_u',
  PMINSD: 'i32x4.min_s',
  PMAXUB: 'i8x16.max_u',
  PMAXSB: 'i8x16.max_s',
  PMAXUW: 'i16x8.max_u',
  PMAXSW: 'i16x8.max_s',
  PMAXUD: 'i32x4.max_u',
  PMAXSD: 'i32x4.max_s',
  PAVGB: 'i8x16.avgr_u',
  PAVGW: 'i16x8.avgr_u',
  PMULLW: 'i16x8.mul',
  PMULLD: 'i32x4.mul',
  PMADDWD: 'i32x4.dot_i16x8_s',
  PCMPEQB: 'i8x16.eq',
  PCMPEQW: 'i16x8.eq',
  PCMPEQD: 'i32x4.eq',
  PCMPEQQ: 'i64x2.eq',
  PCMPGTB: 'i8x16.gt_s',
  PCMPGTW: 'i16x8.gt_s',
  PCMPGTD: 'i32x4.gt_s',
  PCMPGTQ: 'i64x2.gt_s',
  PACKSSWB: 'i8x16.narrow_i16x8_s',
  PACKUSWB: 'i8x16.narrow_i16x8_u',
  PACKSSDW: 'i16x8.narrow_i32x4_s',
  PACKUSDW: 'i16x8.narrow_i32x4_u',
  PAND: 'v128.and',
  POR: 'v128.or',
  PXOR: 'v128.xor',
};
for (const [name, operation] of Object.entries(SAME)) defineBinary(name, (f, a, b) => f.vector(operation, a, b));

// a & ~b in WebAssembly, ~a & b here.
defineBinary('PANDN', (f, a, b) => f.vector('v128.andnot', b, a));

const absolute: Readonly<Record<string, VectorOperation>> = {
  PABSB: 'i8x16.abs',
  PABSW: 'i16x8.abs',
  PABSD: 'i32x4.abs',
};
for (const [name, operation] of Object.entries(absolute))
  define(name, (i, f) => i.write(0, f.vector(operation, source128(i, f))));

/** Elements of `bytes` bytes of the low or high halves, alternately. */
function interleave(bytes: number, high: boolean): Binary {
  const lanes: number[] = [];
  for (let element = 0; element < 8 / bytes; element++) {
    for (const from of [0, 16]) {
      for (let byte = 0; byte < bytes; byte++) lanes.push(from + (high ? 8 : 0) + element * bytes + byte);
    }
  }
  return (f, a, b) => f.shuffle(a, b, lanes);
}
for (const [letters, bytes] of [
  ['BW', 1],
  ['WD', 2],
  ['DQ', 4],
  ['QDQ', 8],
] as const) {
  defineBinary(`PUNPCKL${letters}`, interleave(bytes, false));
  defineBinary(`PUNPCKH${letters}`, interleave(bytes, true));
}

/** Even elements of two vectors of half as wide products, as 32-bit element numbers 0 and 2. */
const evens = (f: FunctionBuilder, v: Value): Value =>
  f.shuffle(v, v, [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]);
defineBinary('PMULUDQ', (f, a, b) => f.vector('i64x2.extmul_low_i32x4_u', evens(f, f.let(a)), evens(f, b)));
defineBinary('PMULDQ', (f, a, b) => f.vector('i64x2.extmul_low_i32x4_s', evens(f, f.let(a)), evens(f, b)));

const HIGH_WORDS = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31];
defineBinary('PMULHW', (f, a, b) => {
  const x = f.let(a);
  const low = f.vector('i32x4.extmul_low_i16x8_s', x, b);
  return f.shuffle(low, f.vector('i32x4.extmul_high_i16x8_s', x, b), HIGH_WORDS);
});
defineBinary('PMULHUW', (f, a, b) => {
  const x = f.let(a);
  const low = f.vector('i32x4.extmul_low_i16x8_u', x, b);
  return f.shuffle(low, f.vector('i32x4.extmul_high_i16x8_u', x, b), HIGH_WORDS);
});
/** Absolute differences of bytes, summed over each half. */
defineBinary('PSADBW', (f, a, b) => {
  const x = f.let(a);
  const difference = f.vector('v128.or', f.vector('i8x16.sub_sat_u', x, b), f.vector('i8x16.sub_sat_u', b, x));
  const quads = f.let(f.vector('i32x4.extadd_pairwise_i16x8_u', f.vector('i16x8.extadd_pairwise_i8x16_u', difference)));
  const even = f.vector(
    'v128.and',
    quads,
    f.vectorConstant([255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0]),
  );
  return f.vector('i64x2.add', even, f.vectorShift('i64x2.shr_u', quads, f.constant(32, 32)));
});
// As q15mulr, but 0x8000 squared wraps to 0x8000 instead of saturating to 0x7FFF.
defineBinary('PMULHRSW', (f, a, b) => {
  const x = f.let(a);
  const smallest = f.let(f.splat(f.constant(16, 0x8000)));
  const both = f.vector('v128.and', f.vector('i16x8.eq', x, smallest), f.vector('i16x8.eq', b, smallest));
  return f.vector('v128.xor', f.vector('i16x8.q15mulr_sat_s', x, b), both);
});
defineBinary('PMADDUBSW', (f, a, b) => {
  // Unsigned bytes of a times signed bytes of b, neighbours added with saturation.
  const x = f.let(a);
  const evenA = f.vector('v128.and', x, f.splat(f.constant(16, 0xff)));
  const evenB = f.vectorShift('i16x8.shr_s', f.vectorShift('i16x8.shl', b, f.constant(32, 8)), f.constant(32, 8));
  const odd = f.vector(
    'i16x8.mul',
    f.vectorShift('i16x8.shr_u', x, f.constant(32, 8)),
    f.vectorShift('i16x8.shr_s', b, f.constant(32, 8)),
  );
  return f.vector('i16x8.add_sat_s', f.vector('i16x8.mul', evenA, evenB), odd);
});

/** Even and odd elements of a and b side by side, then combined. */
function horizontal(bytes: 2 | 4, operation: VectorOperation): Binary {
  const lanes = (first: number): number[] =>
    Array.from({ length: 16 / bytes }, (_, n) =>
      Array.from({ length: bytes }, (__, byte) => (2 * n + first) * bytes + byte),
    ).flat();
  return (f, a, b) => {
    const x = f.let(a);
    return f.vector(operation, f.shuffle(x, b, lanes(0)), f.shuffle(x, b, lanes(1)));
  };
}
defineBinary('PHADDW', horizontal(2, 'i16x8.add'));
defineBinary('PHADDD', horizontal(4, 'i32x4.add'));
defineBinary('PHADDSW', horizontal(2, 'i16x8.add_sat_s'));
defineBinary('PHSUBW', horizontal(2, 'i16x8.sub'));
defineBinary('PHSUBD', horizontal(4, 'i32x4.sub'));
defineBinary('PHSUBSW', horizontal(2, 'i16x8.sub_sat_s'));

/** a where b is positive, −a where it is negative, 0 where it is 0. */
for (const [name, shape] of [
  ['PSIGNB', 'i8x16'],
  ['PSIGNW', 'i16x8'],
  ['PSIGND', 'i32x4'],
] as const) {
  defineBinary(name, (f, a, b) => {
    const x = f.let(a);
    const zero = f.let(vectorConstantZero(f));
    const negated = f.vector(`${shape}.neg`, x);
    const signed = f.vector('v128.bitselect', negated, x, f.vector(`${shape}.gt_s`, zero, b));
    return f.vector('v128.andnot', signed, f.vector(`${shape}.eq`, b, zero));
  });
}

// --- shuffles ---
// Selectors with bit 7 set give zero; of the others only four bits count.
defineBinary('PSHUFB', (f, a, b) =>
  f.vector('i8x16.swizzle', a, f.vector('v128.and', b, f.splat(f.constant(8, 0x8f)))),
);

/** One shuffle of the source by a list of byte numbers that the immediate gives. */
function defineShuffle(name: string, lanes: (selector: number) => number[]): void {
  define(name, (i, f) => {
    const b = f.let(source128(i, f));
    i.write(0, f.shuffle(i.read(0, 128), b, lanes(i.form.selector)));
  });
}
const field = (selector: number, n: number): number => (selector >> (2 * n)) & 3;
const bytesOf = (elements: readonly number[], bytes: number): number[] =>
  elements.flatMap((element) => Array.from({ length: bytes }, (_, byte) => element * bytes + byte));
const four = (make: (n: number) => number): number[] => [0, 1, 2, 3].map(make);
defineShuffle('PSHUFD', (s) =>
  bytesOf(
    four((n) => 4 + field(s, n)),
    4,
  ),
);
defineShuffle('PSHUFLW', (s) => bytesOf([...four((n) => 8 + field(s, n)), 12, 13, 14, 15], 2));
defineShuffle('PSHUFHW', (s) => bytesOf([8, 9, 10, 11, ...four((n) => 12 + field(s, n))], 2));
defineShuffle('SHUFPS', (s) =>
  bytesOf(
    four((n) => field(s, n) + (n < 2 ? 0 : 4)),
    4,
  ),
);
defineShuffle('SHUFPD', (s) => bytesOf([s & 1, 2 + ((s >> 1) & 1)], 8));
defineShuffle('PBLENDW', (s) =>
  bytesOf(
    Array.from({ length: 8 }, (_, n) => n + ((s >> n) & 1) * 8),
    2,
  ),
);
defineShuffle('BLENDPS', (s) =>
  bytesOf(
    four((n) => n + ((s >> n) & 1) * 4),
    4,
  ),
);
defineShuffle('BLENDPD', (s) =>
  bytesOf(
    [0, 1].map((n) => n + ((s >> n) & 1) * 2),
    8,
  ),
);

define('PALIGNR', (i, f) => {
  const count = i.form.selector;
  const b = f.let(source128(i, f));
  const zero = vectorConstantZero(f);
  const from = (first: number): number[] => Array.from({ length: 16 }, (_, n) => first + n);
  if (count >= 32) i.write(0, zero);
  else if (count >= 16) i.write(0, f.shuffle(i.read(0, 128), zero, from(count - 16)));
  else i.write(0, f.shuffle(b, i.read(0, 128), from(count)));
});

/** XMM0 selects by the top bit of each element. */
for (const [name, shape] of [
  ['PBLENDVB', 'i8x16'],
  ['BLENDVPS', 'i32x4'],
  ['BLENDVPD', 'i64x2'],
] as const) {
  define(name, (i, f) => {
    const b = f.let(source128(i, f));
    const select = f.vector(`${shape}.gt_s`, vectorConstantZero(f), i.vectorRegister(0));
    i.write(0, f.vector('v128.bitselect', b, i.read(0, 128), select));
  });
}

// --- widening ---
const WIDEN: Readonly<Record<string, { bytes: 2 | 4 | 8; steps: readonly ('8' | '16' | '32')[] }>> = {
  BW: { bytes: 8, steps: ['8'] },
  BD: { bytes: 4, steps: ['8', '16'] },
  BQ: { bytes: 2, steps: ['8', '16', '32'] },
  WD: { bytes: 8, steps: ['16'] },
  WQ: { bytes: 4, steps: ['16', '32'] },
  DQ: { bytes: 8, steps: ['32'] },
};
const STEP = { '8': 'i16x8.extend_low_i8x16', '16': 'i32x4.extend_low_i16x8', '32': 'i64x2.extend_low_i32x4' } as const;
for (const [letters, { bytes, steps }] of Object.entries(WIDEN)) {
  for (const sign of ['s', 'u'] as const) {
    define(`PMOV${sign === 's' ? 'SX' : 'ZX'}${letters}`, (i, f) => {
      const narrow = i.read(1, (bytes * 8) as 16 | 32 | 64);
      let result = f.replaceLane(vectorConstantZero(f), 0, narrow);
      for (const step of steps) result = f.vector(`${STEP[step]}_${sign}`, result);
      i.write(0, result);
    });
  }
}

// --- shifts: a count beyond the element gives zero, or sign bits ---
function shifted(f: FunctionBuilder, operation: VectorShift, bits: number, a: Value, count: Value): Value {
  const n = f.let(count);
  const beyond = f.let(f.compare('gtU', n, bits - 1));
  const narrow = (limit: number): Value => f.zeroExtend(f.select(beyond, f.constant(64, limit), n), 32);
  if (operation.endsWith('shr_s')) return f.vectorShift(operation, a, narrow(bits - 1));
  const result = f.let(f.vectorShift(operation, a, narrow(0)));
  return f.select(beyond, vectorConstantZero(f), result);
}
const SHIFTS: Readonly<Record<string, readonly [VectorShift, number]>> = {
  PSLLW: ['i16x8.shl', 16],
  PSLLD: ['i32x4.shl', 32],
  PSLLQ: ['i64x2.shl', 64],
  PSRLW: ['i16x8.shr_u', 16],
  PSRLD: ['i32x4.shr_u', 32],
  PSRLQ: ['i64x2.shr_u', 64],
  PSRAW: ['i16x8.shr_s', 16],
  PSRAD: ['i32x4.shr_s', 32],
};
for (const [name, [operation, bits]] of Object.entries(SHIFTS)) {
  defineBinary(name, (f, a, b) => shifted(f, operation, bits, a, f.extractLane(64, b, 0)));
  define(`${name}_IMM`, (i, f) => {
    const count = f.zeroExtend(i.immediate(8), 64);
    i.write(0, shifted(f, operation, bits, i.read(0, 128), count));
  });
}
const shiftBytes = (left: boolean) => (i: SemanticContext, f: FunctionBuilder) => {
  const count = Math.min(i.form.selector, 16);
  const zero = vectorConstantZero(f);
  const lanes = Array.from({ length: 16 }, (_, n) => (left ? 16 - count + n : count + n));
  const a = i.read(0, 128);
  i.write(0, left ? f.shuffle(zero, a, lanes) : f.shuffle(a, zero, lanes));
};
define('PSLLDQ_IMM', shiftBytes(true));
define('PSRLDQ_IMM', shiftBytes(false));

define('PTEST', (i, f) => {
  const b = f.let(source128(i, f));
  const a = i.read(0, 128);
  const zero = f.let(f.not(f.vectorTest('v128.any_true', f.vector('v128.and', a, b))));
  const carry = f.let(f.not(f.vectorTest('v128.any_true', f.vector('v128.andnot', b, a))));
  i.flagsRaw(() => f.or(f.shl(zero, Math.log2(RFLAGS.ZF)), carry));
});

/** Smallest unsigned word and its number. */
define('PHMINPOSUW', (i, f) => {
  const v = f.let(source128(i, f));
  const best = f.temporary(32);
  f.set(best, f.constant(32, -1));
  // Word in bits 31:16, number below: the minimum of these is the first smallest word.
  for (let n = 0; n < 8; n++) {
    const word = f.shl(f.zeroExtend(f.extractLane(16, v, n), 32), 16);
    const candidate = f.let(f.or(word, n));
    f.set(best, f.select(f.compare('ltU', candidate, f.get(best)), candidate, f.get(best)));
  }
  const result = f.arithmetic('rotl', f.get(best), 16);
  i.write(0, f.replaceLane(vectorConstantZero(f), 0, result));
});
