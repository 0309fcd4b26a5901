import { flagView, numberView, type Scalar, type View } from '../variables/view.js';
import { ExpressionError } from './lexer.js';

export function isTruthy(view: View): boolean {
  const value = view.scalar;
  return value !== undefined && value !== false && value !== 0n && value !== '';
}

/** The number behind a value; `what` names it in the error. */
export function numberOf(view: View, what: string): bigint {
  if (typeof view.scalar === 'bigint') return view.scalar;
  throw new ExpressionError(`${what} needs a number, not ${view.scalar === undefined ? `"${view.text}"` : view.text}.`);
}

export function unary(sign: string, view: View): View {
  switch (sign) {
    case '!':
      return flagView(!isTruthy(view));
    case '-':
      return numberView(-numberOf(view, '-'));
    default:
      // 64 bits, as the fields of the hardware are.
      return numberView(BigInt.asUintN(64, ~numberOf(view, '~')));
  }
}

const ARITHMETIC: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / nonZero(b),
  '%': (a, b) => a % nonZero(b),
  '&': (a, b) => a & b,
  '|': (a, b) => a | b,
  '^': (a, b) => a ^ b,
  '<<': (a, b) => BigInt.asUintN(64, a << shiftCount(b)),
  '>>': (a, b) => a >> shiftCount(b),
};

export function binary(sign: string, left: View, right: View): View {
  const arithmetic = ARITHMETIC[sign];
  if (arithmetic) return numberView(arithmetic(numberOf(left, sign), numberOf(right, sign)));
  return flagView(compare(sign, left, right));
}

/** What does not exist yet (a digest before LAUNCH_START) is equal to nothing and in no order. */
function compare(sign: string, left: View, right: View): boolean {
  const [a, b] = [left.scalar, right.scalar];
  if (a === undefined || b === undefined) return sign === '!=';
  if (sign === '==') return same(a, b);
  if (sign === '!=') return !same(a, b);
  const [x, y] = [numberOf(left, sign), numberOf(right, sign)];
  if (sign === '<') return x < y;
  if (sign === '<=') return x <= y;
  return sign === '>' ? x > y : x >= y;
}

function same(a: Scalar, b: Scalar): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a.toLowerCase() === b.toLowerCase();
  return a === b;
}

function nonZero(b: bigint): bigint {
  if (b === 0n) throw new ExpressionError('Division by zero.');
  return b;
}

function shiftCount(b: bigint): bigint {
  if (b < 0n || b > 63n) throw new ExpressionError('A shift count lies between 0 and 63.');
  return b;
}
