import {
  type Binary,
  eachLane,
  horizontal,
  interleave,
  lanesOf,
  multiplyAdd,
  narrow,
  pack,
  saturate,
  shift,
} from './lanes.js';

/** Packed integer instructions on two operands of 64 bits, by mnemonic: APM volume 5. */

const add = (a: number, b: number): number => a + b;
const subtract = (a: number, b: number): number => a - b;
const truth = (condition: boolean): number => (condition ? -1 : 0);
const average = (a: number, b: number): number => (a + b + 1) >> 1;
const high = (a: number, b: number): number => Math.floor((a * b) / 0x1_0000);
const sign = (a: number, b: number): number => (b < 0 ? -a : b === 0 ? 0 : a);
const saturated =
  (bits: 8 | 16, signed: boolean, operation: (a: number, b: number) => number) => (a: number, b: number) =>
    saturate(operation(a, b), bits, signed);
const saturating = (bits: 8 | 16, signed: boolean, operation: (a: number, b: number) => number): Binary =>
  eachLane(bits, signed, saturated(bits, signed, operation));

const MASK = (1n << 64n) - 1n;

function shuffleBytes(a: bigint, b: bigint): bigint {
  const from = lanesOf(a, 8, false);
  return pack(
    lanesOf(b, 8, false).map((selector) => ((selector & 0x80) !== 0 ? 0 : (from[selector & 7] ?? 0))),
    8,
  );
}

function sumOfDifferences(a: bigint, b: bigint): bigint {
  const other = lanesOf(b, 8, false);
  return BigInt(lanesOf(a, 8, false).reduce((sum, lane, n) => sum + Math.abs(lane - (other[n] ?? 0)), 0));
}

export const INTEGER: Readonly<Record<string, Binary>> = {
  PUNPCKLBW: interleave(8, false),
  PUNPCKLWD: interleave(16, false),
  PUNPCKLDQ: interleave(32, false),
  PUNPCKHBW: interleave(8, true),
  PUNPCKHWD: interleave(16, true),
  PUNPCKHDQ: interleave(32, true),
  PACKSSWB: narrow(16, true),
  PACKUSWB: narrow(16, false),
  PACKSSDW: narrow(32, true),
  PCMPGTB: eachLane(8, true, (a, b) => truth(a > b)),
  PCMPGTW: eachLane(16, true, (a, b) => truth(a > b)),
  PCMPGTD: eachLane(32, true, (a, b) => truth(a > b)),
  PCMPEQB: eachLane(8, true, (a, b) => truth(a === b)),
  PCMPEQW: eachLane(16, true, (a, b) => truth(a === b)),
  PCMPEQD: eachLane(32, true, (a, b) => truth(a === b)),
  PADDB: eachLane(8, false, add),
  PADDW: eachLane(16, false, add),
  PADDD: eachLane(32, false, add),
  PADDQ: (a, b) => (a + b) & MASK,
  PSUBB: eachLane(8, false, subtract),
  PSUBW: eachLane(16, false, subtract),
  PSUBD: eachLane(32, false, subtract),
  PSUBQ: (a, b) => (a - b) & MASK,
  PADDSB: saturating(8, true, add),
  PADDSW: saturating(16, true, add),
  PADDUSB: saturating(8, false, add),
  PADDUSW: saturating(16, false, add),
  PSUBSB: saturating(8, true, subtract),
  PSUBSW: saturating(16, true, subtract),
  PSUBUSB: saturating(8, false, subtract),
  PSUBUSW: saturating(16, false, subtract),
  PMINUB: eachLane(8, false, Math.min),
  PMAXUB: eachLane(8, false, Math.max),
  PMINSW: eachLane(16, true, Math.min),
  PMAXSW: eachLane(16, true, Math.max),
  PAVGB: eachLane(8, false, average),
  PAVGW: eachLane(16, false, average),
  PMULLW: eachLane(16, true, (a, b) => a * b),
  PMULHW: eachLane(16, true, high),
  PMULHUW: eachLane(16, false, high),
  PMULHRSW: eachLane(16, true, (a, b) => (((a * b) >> 14) + 1) >> 1),
  PMULUDQ: (a, b) => (a & 0xffff_ffffn) * (b & 0xffff_ffffn),
  PMADDWD: multiplyAdd(16, true, (sum) => sum),
  PMADDUBSW: multiplyAdd(8, false, (sum) => saturate(sum, 16, true)),
  PSADBW: sumOfDifferences,
  PAND: (a, b) => a & b,
  PANDN: (a, b) => ~a & MASK & b,
  POR: (a, b) => a | b,
  PXOR: (a, b) => a ^ b,
  PSHUFB: shuffleBytes,
  PHADDW: horizontal(16, add),
  PHADDD: horizontal(32, add),
  PHADDSW: horizontal(16, saturated(16, true, add)),
  PHSUBW: horizontal(16, subtract),
  PHSUBD: horizontal(32, subtract),
  PHSUBSW: horizontal(16, saturated(16, true, subtract)),
  PSIGNB: eachLane(8, true, sign),
  PSIGNW: eachLane(16, true, sign),
  PSIGND: eachLane(32, true, sign),
  PABSB: eachLane(8, true, (_, b) => Math.abs(b)),
  PABSW: eachLane(16, true, (_, b) => Math.abs(b)),
  PABSD: eachLane(32, true, (_, b) => Math.abs(b)),
  PSLLW: shift(16, 'left'),
  PSLLD: shift(32, 'left'),
  PSLLQ: shift(64, 'left'),
  PSRLW: shift(16, 'right'),
  PSRLD: shift(32, 'right'),
  PSRLQ: shift(64, 'right'),
  PSRAW: shift(16, 'arithmetic'),
  PSRAD: shift(32, 'arithmetic'),
};
