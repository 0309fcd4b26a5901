import { FLOAT_USED } from '../state/layout.js';
import type { FunctionBuilder, Value } from '../wasm/function-builder.js';
import type { VectorOperation } from '../wasm/opcodes.js';
import type { SemanticContext } from './context.js';
import { type Definition, define } from './registry.js';
import { source128 } from './sse-operands.js';

/**
 * Floating-point arithmetic on XMM registers: APM volume 4. Rounding is to nearest, all exceptions are masked, and
 * denormals count: with any other MXCSR these definitions are not used. WebAssembly leaves open which NaN comes
 * out, so each is made here. The sticky flags of MXCSR are not computed.
 */

export type Lanes = 'f32x4' | 'f64x2';
interface FloatForm {
  readonly lanes: Lanes;
  readonly bits: 32 | 64;
  readonly scalar: boolean;
}
export const FORMS: Readonly<Record<string, FloatForm>> = {
  PS: { lanes: 'f32x4', bits: 32, scalar: false },
  PD: { lanes: 'f64x2', bits: 64, scalar: false },
  SS: { lanes: 'f32x4', bits: 32, scalar: true },
  SD: { lanes: 'f64x2', bits: 64, scalar: true },
};

const names = new Set<string>();
/** Is the result another one with another MXCSR? */
export const isFloat = (semantics: string): boolean => names.has(semantics);

export function defineFloat(name: string, definition: Definition): void {
  names.add(name);
  define(name, (i, f) => {
    definition(i, f);
    f.storeAt(FLOAT_USED, f.constant(32, 1));
  });
}

const QUIET = { 32: 0x40_0000n, 64: 1n << 51n } as const;
/** The NaN of an invalid operation: negative, quiet, without payload. */
const DEFAULT_NAN = { 32: 0xffc0_0000n, 64: 0xfff8n << 48n } as const;

const isNan = (f: FunctionBuilder, lanes: Lanes, v: Value): Value => f.vector(`${lanes}.ne`, v, v);

/** Puts a quiet copy of an operand's NaN into the lanes where it has one. */
function propagate(f: FunctionBuilder, { lanes, bits }: FloatForm, result: Value, operand: Value): Value {
  const quiet = f.vector('v128.or', operand, f.splat(f.constant(bits, QUIET[bits])));
  return f.vector('v128.bitselect', quiet, result, isNan(f, lanes, operand));
}

function withDefaultNan(f: FunctionBuilder, { lanes, bits }: FloatForm, result: Value): Value {
  const bound = f.let(result);
  return f.vector('v128.bitselect', f.splat(f.constant(bits, DEFAULT_NAN[bits])), bound, isNan(f, lanes, bound));
}

/** A NaN of the first operand goes before one of the second. Operands are bound. */
export function arithmetic(
  f: FunctionBuilder,
  form: FloatForm,
  name: 'add' | 'sub' | 'mul' | 'div',
  a: Value,
  b: Value,
): Value {
  const plain = withDefaultNan(f, form, f.vector(`${form.lanes}.${name}`, a, b));
  return propagate(f, form, propagate(f, form, plain, b), a);
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
function defineForms(name: string, operation: Binary): void {
  for (const [suffix, form] of Object.entries(FORMS)) {
    defineFloat(`${name}${suffix}`, (i, f) => {
      const b = source(i, f, form);
      const a = i.read(0, 128);
      writeLanes(i, f, form, a, operation(f, form, a, b, i));
    });
  }
}

for (const name of ['add', 'sub', 'mul', 'div'] as const)
  defineForms(name.toUpperCase(), (f, form, a, b) => arithmetic(f, form, name, a, b));

// Unordered operands and two zeros give the second operand.
defineForms('MIN', (f, { lanes }, a, b) => f.vector('v128.bitselect', a, b, f.vector(`${lanes}.lt`, a, b)));
defineForms('MAX', (f, { lanes }, a, b) => f.vector('v128.bitselect', a, b, f.vector(`${lanes}.gt`, a, b)));
defineForms('SQRT', (f, form, _, b) =>
  propagate(f, form, withDefaultNan(f, form, f.vector(`${form.lanes}.sqrt`, b)), b),
);

const unordered: Binary = (f, { lanes }, a, b) => f.vector('v128.or', isNan(f, lanes, a), isNan(f, lanes, b));
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
defineForms('CMP', (f, form, a, b, i) => (PREDICATES[i.form.selector & 7] ?? equal)(f, form, a, b, i));

/** ZF, PF, CF: unordered 111, less 001, equal 100, greater 000. */
for (const [suffix, form] of Object.entries(FORMS)) {
  if (!form.scalar) continue;
  for (const name of ['COMI', 'UCOMI']) {
    defineFloat(`${name}${suffix}`, (i, f) => {
      const b = source(i, f, form);
      const a = i.read(0, 128);
      const test = (what: Binary): Value => f.let(f.and(f.extractLane(32, what(f, form, a, b, i), 0), 1));
      const [no, lt, eq] = [test(unordered), test(less), test(equal)];
      i.flagsRaw(() => f.or(f.or(f.or(no, lt), f.shl(no, 2)), f.shl(f.or(no, eq), 6)));
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
      const pick = (n: number): Value => f.let(f.shuffle(a, b, everySecond(form.bits / 8, n)));
      i.write(0, arithmetic(f, form, name, pick(0), pick(1)));
    });
  }
  defineFloat(`ADDSUB${suffix}`, (i, f) => {
    const b = source(i, f, form);
    const a = i.read(0, 128);
    const odd = Array.from({ length: 16 }, (_, n) => (Math.floor((n * 8) / form.bits) & 1 ? 0xff : 0));
    const sum = f.let(arithmetic(f, form, 'add', a, b));
    i.write(0, f.vector('v128.bitselect', sum, arithmetic(f, form, 'sub', a, b), f.vectorConstant(odd)));
  });
}

/** Bits 1:0 of the immediate, unless bit 2 says that MXCSR does: to nearest. */
const ROUNDING = ['nearest', 'floor', 'ceil', 'trunc'] as const;
defineForms('ROUND', (f, form, _, b, i) => {
  const { selector } = i.form;
  const mode = ROUNDING[(selector & 4) !== 0 ? 0 : selector & 3] ?? 'nearest';
  const operation: VectorOperation = `${form.lanes}.${mode}`;
  return propagate(f, form, f.vector(operation, b), b);
});
