import type { FunctionBuilder, Value } from '../wasm/function-builder.js';
import type { VectorOperation } from '../wasm/opcodes.js';
import type { SemanticContext } from './context.js';
import { type Definition, define } from './registry.js';
import { Doubt, type FloatForm, FORMS } from './sse-doubt.js';
import { source128 } from './sse-operands.js';

/**
 * Floating-point arithmetic on XMM registers: APM volume 4. These definitions are used where rounding is to nearest,
 * all exceptions are masked, denormals count, and MXCSR.PE is set already. What could set another sticky flag, and
 * every NaN, is left to TypeScript.
 */

const names = new Set<string>();
/** Is the result, or what happens to MXCSR, another one with another MXCSR? */
export const isFloat = (semantics: string): boolean => names.has(semantics);

export function defineFloat(name: string, definition: Definition): void {
  names.add(name);
  define(name, definition);
}

type ArithmeticName = 'add' | 'sub' | 'mul' | 'div';
/** Operands are bound. */
function arithmetic(
  f: FunctionBuilder,
  form: FloatForm,
  name: ArithmeticName,
  a: Value,
  b: Value,
  doubt: Doubt,
): Value {
  const result = f.let(f.vector(`${form.lanes}.${name}`, a, b));
  doubt.special(result).denormal(a).denormal(b);
  if (name === 'mul') doubt.tiny(result, a, b);
  if (name === 'div') doubt.tiny(result, a);
  return result;
}

/** Operand 1: the whole vector, or the scalar in every lane. */
function source(i: SemanticContext, f: FunctionBuilder, form: FloatForm): Value {
  return f.let(form.scalar ? f.splat(i.read(1, form.bits)) : source128(i, f));
}

/** A scalar operation changes the lowest lane only. */
function writeLanes(i: SemanticContext, f: FunctionBuilder, form: FloatForm, a: Value, result: Value): void {
  if (!form.scalar) i.write(0, result);
  else i.write(0, f.replaceLane(a, 0, f.extractLane(form.bits, result, 0)));
}

type Binary = (f: FunctionBuilder, form: FloatForm, a: Value, b: Value, i: SemanticContext) => Value;
function defineForms(name: string, operation: (...operands: [...Parameters<Binary>, doubt: Doubt]) => Value): void {
  for (const [suffix, form] of Object.entries(FORMS)) {
    defineFloat(`${name}${suffix}`, (i, f) => {
      const doubt = new Doubt(f, form);
      const b = source(i, f, form);
      const a = i.read(0, 128);
      const result = f.let(operation(f, form, a, b, i, doubt));
      doubt.leave(i);
      writeLanes(i, f, form, a, result);
    });
  }
}

for (const name of ['add', 'sub', 'mul', 'div'] as const)
  defineForms(name.toUpperCase(), (f, form, a, b, _, doubt) => arithmetic(f, form, name, a, b, doubt));

const ordered = (doubt: Doubt, a: Value, b: Value): void => {
  doubt.nan(a).nan(b).denormal(a).denormal(b);
};

// Two zeros give the second operand.
for (const [name, test] of [
  ['MIN', 'lt'],
  ['MAX', 'gt'],
] as const) {
  defineForms(name, (f, { lanes }, a, b, _, doubt) => {
    ordered(doubt, a, b);
    return f.vector('v128.bitselect', a, b, f.vector(`${lanes}.${test}`, a, b));
  });
}
defineForms('SQRT', (f, form, _, b, __, doubt) => {
  const result = f.let(f.vector(`${form.lanes}.sqrt`, b));
  doubt.special(result).denormal(b);
  return result;
});

// No operand is a NaN here.
const unordered: Binary = (f) => f.vectorConstant(new Array(16).fill(0));
const comparison =
  (name: 'eq' | 'ne' | 'lt' | 'le'): Binary =>
  (f, { lanes }, a, b) =>
    f.vector(`${lanes}.${name}`, a, b);
const negated =
  (what: Binary): Binary =>
  (f, form, a, b, i) =>
    f.vector('v128.not', what(f, form, a, b, i));
const [equal, less, lessEqual] = [comparison('eq'), comparison('lt'), comparison('le')];
const PREDICATES: readonly Binary[] = [
  equal,
  less,
  lessEqual,
  unordered,
  comparison('ne'),
  negated(less),
  negated(lessEqual),
  negated(unordered),
];
defineForms('CMP', (f, form, a, b, i, doubt) => {
  ordered(doubt, a, b);
  return (PREDICATES[i.form.selector & 7] ?? equal)(f, form, a, b, i);
});

/** ZF and CF: less 01, equal 10, greater 00. */
for (const [suffix, form] of Object.entries(FORMS)) {
  if (!form.scalar) continue;
  for (const name of ['COMI', 'UCOMI']) {
    defineFloat(`${name}${suffix}`, (i, f) => {
      const b = source(i, f, form);
      const a = i.read(0, 128);
      const doubt = new Doubt(f, form);
      ordered(doubt, a, b);
      doubt.leave(i);
      const test = (what: Binary): Value => f.and(f.extractLane(32, what(f, form, a, b, i), 0), 1);
      const [lt, eq] = [f.let(test(less)), f.let(test(equal))];
      i.flagsRaw(() => f.or(lt, f.shl(eq, 6)));
    });
  }
}

// --- horizontal ---
const everySecond = (bytes: number, first: number): number[] =>
  Array.from({ length: 16 / bytes }, (_, n) =>
    Array.from({ length: bytes }, (__, byte) => (2 * n + first) * bytes + byte),
  ).flat();
for (const [suffix, form] of Object.entries(FORMS)) {
  if (form.scalar) continue;
  for (const name of ['add', 'sub'] as const) {
    defineFloat(`H${name.toUpperCase()}${suffix}`, (i, f) => {
      const b = source(i, f, form);
      const a = i.read(0, 128);
      const doubt = new Doubt(f, form);
      const pick = (n: number): Value => f.let(f.shuffle(a, b, everySecond(form.bits / 8, n)));
      const result = arithmetic(f, form, name, pick(0), pick(1), doubt);
      doubt.leave(i);
      i.write(0, result);
    });
  }
  defineFloat(`ADDSUB${suffix}`, (i, f) => {
    const b = source(i, f, form);
    const a = i.read(0, 128);
    const odd = Array.from({ length: 16 }, (_, n) => (Math.floor((n * 8) / form.bits) & 1 ? 0xff : 0));
    const doubt = new Doubt(f, form);
    const sum = arithmetic(f, form, 'add', a, b, doubt);
    const difference = arithmetic(f, form, 'sub', a, b, doubt);
    doubt.leave(i);
    i.write(0, f.vector('v128.bitselect', sum, difference, f.vectorConstant(odd)));
  });
}

/** Bits 1:0 of the immediate, unless bit 2 says that MXCSR does: to nearest. */
const ROUNDING = ['nearest', 'floor', 'ceil', 'trunc'] as const;
defineForms('ROUND', (f, form, _, b, i, doubt) => {
  doubt.nan(b);
  const { selector } = i.form;
  const mode = ROUNDING[(selector & 4) !== 0 ? 0 : selector & 3] ?? 'nearest';
  const operation: VectorOperation = `${form.lanes}.${mode}`;
  return f.vector(operation, b);
});
