import { MXCSR } from '../state/layout.js';
import type { FunctionBuilder, Value } from '../wasm/function-builder.js';
import type { SemanticContext } from './context.js';

/** Operands of SSE instructions. */

const GENERAL_PROTECTION = 13;

export const vectorConstantZero = (f: FunctionBuilder): Value => f.vectorConstant(new Array(16).fill(0));

/** #GP(0) for a memory operand that does not begin at a multiple of 16. */
export function requireAligned(i: SemanticContext, f: FunctionBuilder, operand: number): void {
  whenMisaligned(i, f, operand, () => i.raise(GENERAL_PROTECTION));
}

function whenMisaligned(i: SemanticContext, f: FunctionBuilder, operand: number, then: () => void): void {
  if (!i.isMemory(operand)) return;
  const linear = i.operandLinear(16, operand === 0);
  f.if(f.and(f.zeroExtend(linear, 32), 15), then);
}

/** MXCSR.MM: operands that are no plain moves need not be aligned. */
const MISALIGNED = 0x2_0000;

/** Operand 1 as a whole vector; in memory it must be aligned, unless MXCSR says otherwise. */
export function source128(i: SemanticContext, f: FunctionBuilder): Value {
  whenMisaligned(i, f, 1, () =>
    f.if(f.isZero(f.and(f.loadAt(32, MXCSR), MISALIGNED)), () => i.raise(GENERAL_PROTECTION)),
  );
  return i.read(1, 128);
}
