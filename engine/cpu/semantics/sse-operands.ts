import type { FunctionBuilder, Value } from '../wasm/function-builder.js';
import type { SemanticContext } from './context.js';

/** Operands of SSE instructions. */

const GENERAL_PROTECTION = 13;

export const vectorConstantZero = (f: FunctionBuilder): Value => f.vectorConstant(new Array(16).fill(0));

/** #GP(0) for a memory operand that does not begin at a multiple of 16. */
export function requireAligned(i: SemanticContext, f: FunctionBuilder, operand: number): void {
  if (!i.isMemory(operand)) return;
  const linear = i.operandLinear(16, operand === 0);
  f.if(f.and(f.zeroExtend(linear, 32), 15), () => i.raise(GENERAL_PROTECTION));
}

/** Operand 1 as a whole vector; in memory it must be aligned. */
export function source128(i: SemanticContext, f: FunctionBuilder): Value {
  requireAligned(i, f, 1);
  return i.read(1, 128);
}
