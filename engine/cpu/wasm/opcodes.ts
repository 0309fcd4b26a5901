/** Opcodes of WebAssembly that the emitter uses, by width of the operands: [i32, i64]. */

export const ARITHMETIC = {
  add: [0x6a, 0x7c],
  sub: [0x6b, 0x7d],
  mul: [0x6c, 0x7e],
  divS: [0x6d, 0x7f],
  divU: [0x6e, 0x80],
  remS: [0x6f, 0x81],
  remU: [0x70, 0x82],
  and: [0x71, 0x83],
  or: [0x72, 0x84],
  xor: [0x73, 0x85],
  shl: [0x74, 0x86],
  shrS: [0x75, 0x87],
  shrU: [0x76, 0x88],
  rotl: [0x77, 0x89],
  rotr: [0x78, 0x8a],
} as const;
export type Arithmetic = keyof typeof ARITHMETIC;

export const COMPARISON = {
  eq: [0x46, 0x51],
  ne: [0x47, 0x52],
  ltS: [0x48, 0x53],
  ltU: [0x49, 0x54],
  gtS: [0x4a, 0x55],
  gtU: [0x4b, 0x56],
  leS: [0x4c, 0x57],
  leU: [0x4d, 0x58],
  geS: [0x4e, 0x59],
  geU: [0x4f, 0x5a],
} as const;
export type Comparison = keyof typeof COMPARISON;

export const BIT_COUNT = { clz: [0x67, 0x79], ctz: [0x68, 0x7a], popcnt: [0x69, 0x7b] } as const;
export type BitCount = keyof typeof BIT_COUNT;

export const LOAD = { 8: 0x2d, 16: 0x2f, 32: 0x28, 64: 0x29 } as const;
export const STORE = { 8: 0x3a, 16: 0x3b, 32: 0x36, 64: 0x37 } as const;

/** Vector instructions (after prefix 0xFD) without immediate: two vectors, or one, give a vector. */
export const VECTOR = {
  'i8x16.swizzle': 0x0e,
  'i8x16.eq': 0x23,
  'i8x16.gt_s': 0x27,
  'i16x8.eq': 0x2d,
  'i16x8.gt_s': 0x31,
  'i32x4.eq': 0x37,
  'i32x4.gt_s': 0x3b,
  'v128.not': 0x4d,
  'v128.and': 0x4e,
  'v128.andnot': 0x4f,
  'v128.or': 0x50,
  'v128.xor': 0x51,
  'v128.bitselect': 0x52,
  'i8x16.abs': 0x60,
  'i8x16.neg': 0x61,
  'i8x16.narrow_i16x8_s': 0x65,
  'i8x16.narrow_i16x8_u': 0x66,
  'i8x16.add': 0x6e,
  'i8x16.add_sat_s': 0x6f,
  'i8x16.add_sat_u': 0x70,
  'i8x16.sub': 0x71,
  'i8x16.sub_sat_s': 0x72,
  'i8x16.sub_sat_u': 0x73,
  'i8x16.min_s': 0x76,
  'i8x16.min_u': 0x77,
  'i8x16.max_s': 0x78,
  'i8x16.max_u': 0x79,
  'i8x16.avgr_u': 0x7b,
  'i16x8.extadd_pairwise_i8x16_u': 0x7d,
  'i32x4.extadd_pairwise_i16x8_u': 0x7f,
  'i16x8.abs': 0x80,
  'i16x8.neg': 0x81,
  'i16x8.q15mulr_sat_s': 0x82,
  'i16x8.narrow_i32x4_s': 0x85,
  'i16x8.narrow_i32x4_u': 0x86,
  'i16x8.extend_low_i8x16_s': 0x87,
  'i16x8.extend_low_i8x16_u': 0x89,
  'i16x8.add': 0x8e,
  'i16x8.add_sat_s': 0x8f,
  'i16x8.add_sat_u': 0x90,
  'i16x8.sub': 0x91,
  'i16x8.sub_sat_s': 0x92,
  'i16x8.sub_sat_u': 0x93,
  'i16x8.mul': 0x95,
  'i16x8.min_s': 0x96,
  'i16x8.min_u': 0x97,
  'i16x8.max_s': 0x98,
  'i16x8.max_u': 0x99,
  'i16x8.avgr_u': 0x9b,
  'i32x4.abs': 0xa0,
  'i32x4.neg': 0xa1,
  'i32x4.extend_low_i16x8_s': 0xa7,
  'i32x4.extend_low_i16x8_u': 0xa9,
  'i32x4.add': 0xae,
  'i32x4.sub': 0xb1,
  'i32x4.mul': 0xb5,
  'i32x4.min_s': 0xb6,
  'i32x4.min_u': 0xb7,
  'i32x4.max_s': 0xb8,
  'i32x4.max_u': 0xb9,
  'i32x4.dot_i16x8_s': 0xba,
  'i32x4.extmul_low_i16x8_s': 0xbc,
  'i32x4.extmul_high_i16x8_s': 0xbd,
  'i32x4.extmul_low_i16x8_u': 0xbe,
  'i32x4.extmul_high_i16x8_u': 0xbf,
  'i64x2.extend_low_i32x4_s': 0xc7,
  'i64x2.extend_low_i32x4_u': 0xc9,
  'i64x2.add': 0xce,
  'i64x2.sub': 0xd1,
  'i64x2.eq': 0xd6,
  'i64x2.gt_s': 0xd9,
  'i64x2.extmul_low_i32x4_s': 0xdc,
  'i64x2.extmul_low_i32x4_u': 0xde,
  'f32x4.eq': 0x41,
  'f32x4.ne': 0x42,
  'f32x4.lt': 0x43,
  'f32x4.gt': 0x44,
  'f32x4.le': 0x45,
  'f32x4.ceil': 0x67,
  'f32x4.floor': 0x68,
  'f32x4.trunc': 0x69,
  'f32x4.nearest': 0x6a,
  'f32x4.sqrt': 0xe3,
  'f32x4.add': 0xe4,
  'f32x4.sub': 0xe5,
  'f32x4.mul': 0xe6,
  'f32x4.div': 0xe7,
  'f64x2.eq': 0x47,
  'f64x2.ne': 0x48,
  'f64x2.lt': 0x49,
  'f64x2.gt': 0x4a,
  'f64x2.le': 0x4b,
  'f64x2.ceil': 0x74,
  'f64x2.floor': 0x75,
  'f64x2.trunc': 0x7a,
  'f64x2.nearest': 0x94,
  'f64x2.sqrt': 0xef,
  'f64x2.add': 0xf0,
  'f64x2.sub': 0xf1,
  'f64x2.mul': 0xf2,
  'f64x2.div': 0xf3,
  'f32x4.convert_i32x4_s': 0xfa,
  'f64x2.convert_low_i32x4_s': 0xfe,
} as const;
export type VectorOperation = keyof typeof VECTOR;

/** Scalar floating point, as bytes for `sequence`; by width, with conversions by the integer's width. */
export const FLOAT = {
  promote: [0xbb],
  demote: [0xb6],
  32: {
    fromBits: [0xbe],
    toBits: [0xbc],
    ne: [0x5c],
    lt: [0x5d],
    nearest: [0x90],
    fromInteger: { 32: [0xb2], 64: [0xb4] },
    toInteger: { 32: [0xfc, 0], 64: [0xfc, 4] },
  },
  64: {
    fromBits: [0xbf],
    toBits: [0xbd],
    ne: [0x62],
    lt: [0x63],
    nearest: [0x9e],
    fromInteger: { 32: [0xb7], 64: [0xb9] },
    toInteger: { 32: [0xfc, 2], 64: [0xfc, 6] },
  },
} as const;

/** Vector shifted by a scalar count of 32 bits. */
export const VECTOR_SHIFT = {
  'i16x8.shl': 0x8b,
  'i16x8.shr_s': 0x8c,
  'i16x8.shr_u': 0x8d,
  'i32x4.shl': 0xab,
  'i32x4.shr_s': 0xac,
  'i32x4.shr_u': 0xad,
  'i64x2.shl': 0xcb,
  'i64x2.shr_s': 0xcc,
  'i64x2.shr_u': 0xcd,
} as const;
export type VectorShift = keyof typeof VECTOR_SHIFT;

/** Vector to scalar of 32 bits. */
export const VECTOR_TEST = {
  'v128.any_true': 0x53,
  'i8x16.bitmask': 0x64,
  'i32x4.bitmask': 0xa4,
  'i64x2.bitmask': 0xc4,
} as const;
export type VectorTest = keyof typeof VECTOR_TEST;

/** Same scalar in every lane. */
export const SPLAT = { 8: 0x0f, 16: 0x10, 32: 0x11, 64: 0x12 } as const;
export const EXTRACT_LANE = { 8: 0x16, 16: 0x19, 32: 0x1b, 64: 0x1d } as const;
export const REPLACE_LANE = { 8: 0x17, 16: 0x1a, 32: 0x1c, 64: 0x1e } as const;
