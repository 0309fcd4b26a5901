import { flagView, numberView, textView, type View } from '../variables/view.js';
import { FUNCTIONS } from './functions.js';
import { ExpressionError } from './lexer.js';
import { type Environment, lookup } from './names.js';
import { binary, isTruthy, numberOf, unary } from './operators.js';
import { type Expression, parseExpression } from './parser.js';

/** Parses once, for conditions that are asked again and again. Throws an ExpressionError. */
export function compileExpression(source: string): (environment: Environment) => View {
  const expression = parseExpression(source);
  return (environment) => evaluate(expression, environment);
}

function evaluate(e: Expression, environment: Environment): View {
  switch (e.kind) {
    case 'number':
      return numberView(e.value);
    case 'text':
      return textView(e.value);
    case 'flag':
      return flagView(e.value);
    case 'name':
      return lookup(environment, e.name);
    case 'address':
      if (e.space !== 'spa' && e.space !== 'gpa')
        throw new ExpressionError(`Addresses are spa:… or gpa:…, not ${e.space}:….`);
      return { ...numberView(numberOf(evaluate(e.value, environment), `${e.space}:`)), type: e.space };
    case 'member':
      return memberOf(evaluate(e.of, environment), e.name);
    case 'item':
      return itemOf(evaluate(e.of, environment), evaluate(e.index, environment));
    case 'call': {
      const f = FUNCTIONS.find((known) => known.name === e.name);
      if (!f) throw new ExpressionError(`There is no function ${e.name}; help lists those there are.`);
      return f.call(
        environment,
        e.args.map((arg) => evaluate(arg, environment)),
      );
    }
    case 'unary':
      return unary(e.sign, evaluate(e.of, environment));
    case 'binary': {
      const left = evaluate(e.left, environment);
      if (e.sign === '&&') return flagView(isTruthy(left) && isTruthy(evaluate(e.right, environment)));
      if (e.sign === '||') return flagView(isTruthy(left) || isTruthy(evaluate(e.right, environment)));
      return binary(e.sign, left, evaluate(e.right, environment));
    }
  }
}

function memberOf(view: View, name: string): View {
  const members = view.members?.() ?? [];
  const found = members.find((m) => m.name === name) ?? members.find((m) => plain(m.name) === plain(name));
  if (found) return found.view;
  // What does not exist yet has no fields; a comparison with it is false rather than an error.
  if (view.scalar === undefined && !view.members && !view.items) return view;
  const names = members.map((m) => m.name).join(', ');
  throw new ExpressionError(
    names ? `There is no field ${name}; there are ${names}.` : `This value has no field ${name}.`,
  );
}

/** Field names of AMD and of the policy grammar differ in case and hyphens: SINGLE_SOCKET, single-socket. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[-_ ]/g, '');
}

function itemOf(view: View, index: View): View {
  if (typeof index.scalar === 'string') return memberOf(view, index.scalar);
  const n = Number(numberOf(index, '[ ]'));
  if (!view.items) throw new ExpressionError('This value has no numbered items.');
  if (n < 0 || n >= view.items.count)
    throw new ExpressionError(`The index ${n} lies outside 0 … ${view.items.count - 1}.`);
  return view.items.at(n).view;
}
