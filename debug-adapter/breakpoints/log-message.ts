import { compileExpression } from '../evaluate/compile.js';
import type { Environment } from '../evaluate/names.js';

/** Text with expressions in braces: "digest now {digest}". Throws an ExpressionError where one cannot be parsed. */
export function logMessage(template: string): (environment: Environment) => string {
  const parts = [...template.matchAll(/\{([^{}]*)\}|[^{]+|\{/g)].map((match) => {
    const source = match[1];
    if (source === undefined) return () => match[0];
    const evaluate = compileExpression(source);
    return (environment: Environment) => {
      try {
        return evaluate(environment).text;
      } catch (error) {
        return `<${error instanceof Error ? error.message : String(error)}>`;
      }
    };
  });
  return (environment) => parts.map((part) => part(environment)).join('');
}
