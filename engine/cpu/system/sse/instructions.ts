import type { Instruction } from '../../decoder/instruction.js';
import { DOUBLE, type Interchange, SINGLE } from '../../float/format.js';
import { RoundingMode } from '../../float/round.js';
import { RFLAGS, STATUS_FLAGS } from '../../semantics/flags.js';
import { readOperand, setRegister } from '../operands.js';
import type { Vcpu } from '../vcpu.js';
import { readVector, SseControl, xmmView } from './control.js';
import {
  type ArithmeticName,
  arithmetic,
  compare,
  convert,
  extreme,
  fromInteger,
  roundLane,
  squareRoot,
  toInteger,
} from './lane.js';

/**
 * Floating point on XMM registers with every MXCSR: rounding, exceptions, sticky flags, flushed denormals. Generated
 * code does the same where MXCSR can no longer tell the difference (see CodeMode.floats).
 */

type SystemInstruction = (v: Vcpu, i: Instruction) => void;

interface Shape {
  readonly format: Interchange;
  readonly scalar: boolean;
}
const SHAPES: Readonly<Record<string, Shape>> = {
  PS: { format: SINGLE, scalar: false },
  PD: { format: DOUBLE, scalar: false },
  SS: { format: SINGLE, scalar: true },
  SD: { format: DOUBLE, scalar: true },
};

export function lane(view: DataView, format: Interchange, n: number): bigint {
  return format.bits === 32 ? BigInt(view.getUint32(4 * n, true)) : view.getBigUint64(8 * n, true);
}
export function setLane(view: DataView, format: Interchange, n: number, bits: bigint): void {
  if (format.bits === 32) view.setUint32(4 * n, Number(bits), true);
  else view.setBigUint64(8 * n, bits, true);
}

/** Lanes of the destination from those of both operands; all are calculated before the first is written. */
export function writeLanes(
  v: Vcpu,
  i: Instruction,
  c: SseControl,
  format: Interchange,
  lanes: readonly bigint[],
): void {
  c.finish();
  const to = xmmView(v, i.operands[0].register);
  for (const [n, bits] of lanes.entries()) setLane(to, format, n, bits);
}

type LaneOperation = (c: SseControl, a: bigint, b: bigint, format: Interchange, i: Instruction, n: number) => bigint;

const lanewise =
  ({ format, scalar }: Shape, operation: LaneOperation): SystemInstruction =>
  (v, i) => {
    const c = new SseControl(v);
    const b = readVector(v, i, 1);
    const a = readVector(v, i, 0);
    const count = scalar ? 1 : 128 / format.bits;
    const lanes = Array.from({ length: count }, (_, n) =>
      operation(c, lane(a, format, n), lane(b, format, n), format, i, n),
    );
    writeLanes(v, i, c, format, lanes);
  };

function forms(name: string, operation: LaneOperation): [string, SystemInstruction][] {
  return Object.entries(SHAPES).map(([suffix, shape]) => [`${name}${suffix}`, lanewise(shape, operation)]);
}

/** Predicates 0 to 3; 4 to 7 are their opposites. EQ and UNORD take quiet NaNs. */
const PREDICATES: readonly ((order: number | undefined) => boolean)[] = [
  (order) => order === 0,
  (order) => order !== undefined && order < 0,
  (order) => order !== undefined && order <= 0,
  (order) => order === undefined,
];
const comparison: LaneOperation = (c, a, b, format, i) => {
  const predicate = i.immediate & 3;
  const order = compare(c, a, b, format, predicate === 0 || predicate === 3);
  const holds = (PREDICATES[predicate]?.(order) ?? false) !== ((i.immediate & 4) !== 0);
  return holds ? (1n << BigInt(format.bits)) - 1n : 0n;
};

/** ZF, PF, CF: unordered 111, less 001, equal 100, greater 000. */
const compareFlags =
  (format: Interchange, quiet: boolean): SystemInstruction =>
  (v, i) => {
    const c = new SseControl(v);
    const b = readVector(v, i, 1);
    const order = compare(c, lane(readVector(v, i, 0), format, 0), lane(b, format, 0), format, quiet);
    c.finish();
    const { CF, PF, ZF } = RFLAGS;
    const bits = order === undefined ? CF | PF | ZF : order < 0 ? CF : order === 0 ? ZF : 0;
    v.registers.flags = (v.registers.flags & ~STATUS_FLAGS) | bits;
  };

/** Neighbours of the first operand, then of the second. */
const horizontal =
  (format: Interchange, name: ArithmeticName): SystemInstruction =>
  (v, i) => {
    const c = new SseControl(v);
    const b = readVector(v, i, 1);
    const a = readVector(v, i, 0);
    const half = 64 / format.bits;
    const pair = (from: DataView, n: number): bigint =>
      arithmetic(c, name, lane(from, format, 2 * n), lane(from, format, 2 * n + 1), format);
    writeLanes(v, i, c, format, [
      ...Array.from({ length: half }, (_, n) => pair(a, n)),
      ...Array.from({ length: half }, (_, n) => pair(b, n)),
    ]);
  };

// --- conversions ---
const ONE_INTEGER = { 32: SINGLE, 64: DOUBLE } as const;

/** Result lanes as given; those of the destination beyond become zero. */
const conversion =
  (
    count: number,
    to: Interchange,
    one: (c: SseControl, from: DataView, n: number) => bigint,
    clears = true,
  ): SystemInstruction =>
  (v, i) => {
    const c = new SseControl(v);
    const from = readVector(v, i, 1);
    const lanes = Array.from({ length: count }, (_, n) => one(c, from, n));
    while (clears && lanes.length < 128 / to.bits) lanes.push(0n);
    writeLanes(v, i, c, to, lanes);
  };

const integerToScalar =
  (format: Interchange): SystemInstruction =>
  (v, i) => {
    const c = new SseControl(v);
    const { size } = i.operands[1];
    const result = fromInteger(c, BigInt.asIntN(8 * size, readOperand(v, i, 1)), format);
    writeLanes(v, i, c, format, [result]);
  };
const scalarToInteger =
  (format: Interchange, truncates: boolean): SystemInstruction =>
  (v, i) => {
    const c = new SseControl(v);
    const { size, register } = i.operands[0];
    const result = toInteger(
      c,
      lane(readVector(v, i, 1), format, 0),
      format,
      8 * size,
      truncates ? RoundingMode.truncate : c.mode,
    );
    c.finish();
    setRegister(v, register, size, result);
  };

const packedToIntegers = (count: number, format: Interchange, truncates: boolean): SystemInstruction =>
  conversion(count, ONE_INTEGER[32], (c, from, n) =>
    toInteger(c, lane(from, format, n), format, 32, truncates ? RoundingMode.truncate : c.mode),
  );

const ARITHMETIC_NAMES = ['ADD', 'SUB', 'MUL', 'DIV'] as const;

export const SSE_FLOAT: Readonly<Record<string, SystemInstruction>> = {
  ...Object.fromEntries([
    ...ARITHMETIC_NAMES.flatMap((name) => forms(name, (c, a, b, format) => arithmetic(c, name, a, b, format))),
    ...forms('MIN', (c, a, b, format) => extreme(c, a, b, format, false)),
    ...forms('MAX', (c, a, b, format) => extreme(c, a, b, format, true)),
    ...forms('SQRT', (c, _, b, format) => squareRoot(c, b, format)),
    ...forms('CMP', comparison),
    ...forms('ROUND', (c, _, b, format, i) => roundLane(c, b, format, i.immediate)),
  ]),
  COMISS: compareFlags(SINGLE, false),
  COMISD: compareFlags(DOUBLE, false),
  UCOMISS: compareFlags(SINGLE, true),
  UCOMISD: compareFlags(DOUBLE, true),
  HADDPS: horizontal(SINGLE, 'ADD'),
  HADDPD: horizontal(DOUBLE, 'ADD'),
  HSUBPS: horizontal(SINGLE, 'SUB'),
  HSUBPD: horizontal(DOUBLE, 'SUB'),
  ...Object.fromEntries(
    (['PS', 'PD'] as const).map((suffix) => [
      `ADDSUB${suffix}`,
      lanewise(SHAPES[suffix] ?? { format: SINGLE, scalar: false }, (c, a, b, format, _, n) =>
        arithmetic(c, (n & 1) !== 0 ? 'ADD' : 'SUB', a, b, format),
      ),
    ]),
  ),
  CVTSI2SS: integerToScalar(SINGLE),
  CVTSI2SD: integerToScalar(DOUBLE),
  CVTSS2SI: scalarToInteger(SINGLE, false),
  CVTSD2SI: scalarToInteger(DOUBLE, false),
  CVTTSS2SI: scalarToInteger(SINGLE, true),
  CVTTSD2SI: scalarToInteger(DOUBLE, true),
  CVTSS2SD: conversion(1, DOUBLE, (c, from) => convert(c, lane(from, SINGLE, 0), SINGLE, DOUBLE), false),
  CVTSD2SS: conversion(1, SINGLE, (c, from) => convert(c, lane(from, DOUBLE, 0), DOUBLE, SINGLE), false),
  CVTPS2PD: conversion(2, DOUBLE, (c, from, n) => convert(c, lane(from, SINGLE, n), SINGLE, DOUBLE)),
  CVTPD2PS: conversion(2, SINGLE, (c, from, n) => convert(c, lane(from, DOUBLE, n), DOUBLE, SINGLE)),
  CVTPS2DQ: packedToIntegers(4, SINGLE, false),
  CVTTPS2DQ: packedToIntegers(4, SINGLE, true),
  CVTPD2DQ: packedToIntegers(2, DOUBLE, false),
  CVTTPD2DQ: packedToIntegers(2, DOUBLE, true),
  CVTDQ2PS: conversion(4, SINGLE, (c, from, n) => fromInteger(c, BigInt(from.getInt32(4 * n, true)), SINGLE)),
  CVTDQ2PD: conversion(2, DOUBLE, (c, from, n) => fromInteger(c, BigInt(from.getInt32(4 * n, true)), DOUBLE)),
};
