import {
  addFloats,
  compareFloats,
  divideFloats,
  multiplyFloats,
  type Outcome,
  rootOfFloat,
} from '../../float/arithmetic.js';
import {
  BEFORE,
  FLAG,
  type Float,
  FloatKind,
  INDEFINITE,
  isNan,
  negated,
  normalised,
  quieted,
} from '../../float/float.js';
import { DOUBLE, decodeFloat, EXTENDED, SINGLE } from '../../float/format.js';
import { type Rounded, type RoundingMode, round } from '../../float/round.js';
import { readMemory } from '../operands.js';
import { stackOperand, type X87Context, type X87Operation } from './instruction.js';
import { STATUS, type X87Registers } from './registers.js';

/** FADD to FDIVR in all their forms, FSQRT, comparisons: APM volume 5. */

/** What an unmasked overflow or underflow adds to the exponent of a result in a register. */
const WRAP = 24576;

/** Of two NaNs the one with the larger significand, made quiet. */
export function chooseNan(a: Float, b: Float): Float {
  if (!isNan(b)) return quieted(a);
  if (!isNan(a)) return quieted(b);
  const quietOnly = (x: Float): boolean => x.kind === FloatKind.quiet;
  if (quietOnly(a) !== quietOnly(b)) return quietOnly(a) ? a : b;
  if (a.significand !== b.significand) return quieted(a.significand > b.significand ? a : b);
  return quieted(a.negative ? b : a);
}

const nothing = (value: Float, flags: number): Rounded => ({ value, flags, up: false });

/** NaNs and encodings that no unit makes; undefined if there are none. */
export function invalidOperands(operands: readonly Float[]): Rounded | undefined {
  if (operands.some((x) => x.kind === FloatKind.unsupported)) return nothing(INDEFINITE, FLAG.invalid);
  const nans = operands.filter(isNan);
  const first = nans[0];
  if (!first) return undefined;
  const signalling = nans.some((x) => x.kind === FloatKind.signalling);
  return nothing(chooseNan(first, nans[1] ?? first), signalling ? FLAG.invalid : 0);
}

/** Rounds as the control word says; `precision` only where precision control does not count. */
export function roundResult(r: X87Registers, outcome: Outcome, before: number, precision = r.precision): Rounded {
  switch (outcome.kind) {
    case 'invalid':
      return nothing(INDEFINITE, FLAG.invalid);
    case 'divideByZero':
      // Goes before a denormal operand.
      return nothing(outcome.value, FLAG.zeroDivide);
    case 'special':
      return nothing(outcome.value, before);
    case 'exact': {
      if ((before & BEFORE & ~r.masks) !== 0) return nothing(INDEFINITE, before);
      const control = { mode: r.rounding, masks: r.masks, wrap: WRAP };
      const rounded = round(outcome.exact, { ...EXTENDED, precision }, control);
      return { ...rounded, flags: rounded.flags | before };
    }
  }
}

export const denormalFlag = (...operands: readonly Float[]): number =>
  operands.some((x) => x.denormal) ? FLAG.denormal : 0;

type Operation = (a: Float, b: Float, mode: RoundingMode) => Outcome;

function calculate(r: X87Registers, a: Float, b: Float, operation: Operation): Rounded {
  return invalidOperands([a, b]) ?? roundResult(r, operation(a, b, r.rounding), denormalFlag(a, b));
}

/** Writes a result unless an unmasked exception forbids it; then pops. */
export function finish(r: X87Registers, n: number, { value, flags, up }: Rounded, pops = 0): void {
  if (!r.raise(flags, up)) return;
  r.set(n, value);
  for (let k = 0; k < pops; k++) r.pop();
}

const subtract: Operation = (a, b, mode) => addFloats(a, negated(b), mode);
/** The left operand is the destination. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  ADD: addFloats,
  MUL: multiplyFloats,
  SUB: subtract,
  SUBR: (a, b, mode) => subtract(b, a, mode),
  DIV: divideFloats,
  DIVR: (a, b) => divideFloats(b, a),
};

/** Destination and source are registers; one that is empty makes the result a NaN. */
function registerForm(r: X87Registers, to: number, from: number, operation: Operation, pops: number): void {
  if (r.isEmpty(to) || r.isEmpty(from)) {
    if (!r.stackFault()) return;
    r.set(to, INDEFINITE);
    for (let k = 0; k < pops; k++) r.pop();
    return;
  }
  finish(r, to, calculate(r, r.get(to), r.get(from), operation), pops);
}

function memoryForm({ r }: X87Context, source: Float, operation: Operation): void {
  if (r.isEmpty(0)) {
    if (r.stackFault()) r.set(0, INDEFINITE);
    return;
  }
  finish(r, 0, calculate(r, r.get(0), source, operation));
}

/** m32 or m64. */
export function readReal({ v, i }: X87Context): Float {
  const { size } = i.operands[0];
  return decodeFloat(readMemory(v, i, size), size === 4 ? SINGLE : DOUBLE);
}

/** m16, m32 or m64, signed. */
export function readInteger({ v, i }: X87Context): Float {
  const { size } = i.operands[0];
  const value = BigInt.asIntN(8 * size, readMemory(v, i, size));
  return normalised({ negative: value < 0n, significand: value < 0n ? -value : value, exponent: 0 });
}

// --- comparisons ---

const UNORDERED = STATUS.C0 | STATUS.C2 | STATUS.C3;
type Order = 'less' | 'equal' | 'greater' | 'unordered';
const CONDITIONS: Readonly<Record<Order, number>> = {
  less: STATUS.C0,
  equal: STATUS.C3,
  greater: 0,
  unordered: UNORDERED,
};

/** Order and exceptions; FUCOM and its like take a quiet NaN without an exception. */
export function order(a: Float, b: Float, quiet: boolean): { order: Order; flags: number } {
  const invalid = invalidOperands([a, b]);
  if (invalid) return { order: 'unordered', flags: quiet ? invalid.flags : FLAG.invalid };
  const sign = compareFloats(a, b);
  return { order: sign < 0 ? 'less' : sign > 0 ? 'greater' : 'equal', flags: denormalFlag(a, b) };
}

export function compareInto(r: X87Registers, b: Float | undefined, quiet: boolean, pops: number): void {
  const known = b !== undefined && !r.isEmpty(0);
  const result = known ? order(r.get(0), b, quiet) : undefined;
  const done = result ? r.raise(result.flags) : r.stackFault();
  // An invalid comparison is unordered even if the exception is not masked; only the pops are not done.
  r.setConditions(result ? CONDITIONS[result.order] : UNORDERED);
  if (!done) return;
  for (let k = 0; k < pops; k++) r.pop();
}

const compareRegister =
  (quiet: boolean, pops: number, fixed?: number): X87Operation =>
  ({ i, r }) => {
    const n = fixed ?? stackOperand(i);
    compareInto(r, r.isEmpty(n) ? undefined : r.get(n), quiet, pops);
  };

export const ARITHMETIC: Readonly<Record<string, X87Operation>> = {
  ...Object.fromEntries(
    Object.entries(OPERATIONS).flatMap(([name, operation]): [string, X87Operation][] => [
      [`F${name}`, ({ i, r }) => registerForm(r, 0, stackOperand(i), operation, 0)],
      [`F${name}_STI`, ({ i, r }) => registerForm(r, stackOperand(i), 0, operation, 0)],
      [`F${name}P`, ({ i, r }) => registerForm(r, stackOperand(i), 0, operation, 1)],
      [`F${name}_M`, (context) => memoryForm(context, readReal(context), operation)],
      [`FI${name}`, (context) => memoryForm(context, readInteger(context), operation)],
    ]),
  ),
  FCOM: compareRegister(false, 0),
  FCOMP: compareRegister(false, 1),
  FCOMPP: compareRegister(false, 2, 1),
  FUCOM: compareRegister(true, 0),
  FUCOMP: compareRegister(true, 1),
  FUCOMPP: compareRegister(true, 2, 1),
  FCOM_M: (context) => compareInto(context.r, readReal(context), false, 0),
  FCOMP_M: (context) => compareInto(context.r, readReal(context), false, 1),
  FICOM: (context) => compareInto(context.r, readInteger(context), false, 0),
  FICOMP: (context) => compareInto(context.r, readInteger(context), false, 1),
  FTST: ({ r }) => compareInto(r, normalised({ negative: false, significand: 0n, exponent: 0 }), false, 0),
  FSQRT: ({ r }) => {
    if (r.isEmpty(0)) {
      if (r.stackFault()) r.set(0, INDEFINITE);
      return;
    }
    const x = r.get(0);
    finish(r, 0, invalidOperands([x]) ?? roundResult(r, rootOfFloat(x), denormalFlag(x)));
  },
};
