import { compileExpression } from '../evaluate/compile.js';
import type { Environment } from '../evaluate/names.js';
import { isTruthy } from '../evaluate/operators.js';

/** One reason not to stop at a breakpoint. `passes` is asked in order; the first refusal ends it. */
export interface StopCondition {
  passes(environment: Environment): boolean;
}

/** An expression of the evaluate language. Throws an ExpressionError where it cannot be parsed. */
export function expressionCondition(source: string, onError: (message: string) => void): StopCondition {
  const evaluate = compileExpression(source);
  let reported = false;
  return {
    passes(environment) {
      try {
        return isTruthy(evaluate(environment));
      } catch (error) {
        // A condition that cannot be answered is not met; said once, or a loop would flood the console.
        if (!reported) onError(error instanceof Error ? error.message : String(error));
        reported = true;
        return false;
      }
    },
  };
}
