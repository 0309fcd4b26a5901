import type { FunctionBuilder, Value, Width } from '../wasm/function-builder.js';
import type { Label } from '../wasm/value.js';
import { Register, type SemanticContext } from './context.js';
import { define } from './registry.js';

/**
 * String instructions. With REP every element is an iteration of its own: registers are committed for each, so that a
 * fault leaves the state from which the instruction goes on. The whole counts as one instruction.
 */

function pointer(i: SemanticContext, f: FunctionBuilder, register: Register): Value {
  return f.let(f.zeroExtend(i.register(register, i.addressWidth), 64));
}

/** Moves an index register one element up, or down with DF set. */
function advance(i: SemanticContext, f: FunctionBuilder, register: Register, from: Value): void {
  const bytes = i.form.operandSize;
  // 2 × bytes if DF is set.
  const back = f.and(f.shrU(i.systemFlags(), 9 - Math.log2(bytes)), 2 * bytes);
  const moved = f.sub(f.add(from, bytes), f.zeroExtend(back, 64));
  i.setRegister(register, f.zeroExtend(moved, i.addressWidth));
}

const source = (i: SemanticContext, at: Value): Value =>
  i.load(i.width, i.linear('operand', at, i.form.operandSize, false));
const destination = (i: SemanticContext, at: Value, write: boolean): Value =>
  i.linear('ES', at, i.form.operandSize, write);

/** Runs the body while rCX is not zero; `until` ends the repetition early. */
function repeat(
  i: SemanticContext,
  f: FunctionBuilder,
  body: () => void,
  until?: (repeatPrefix: number) => Value,
): void {
  if (i.form.repeat === 0) {
    body();
    return;
  }
  const again = (label: Label): void => {
    const count = f.let(i.register(Register.RCX, i.addressWidth));
    f.if(f.notZero(count), () => {
      body();
      i.setRegister(Register.RCX, f.sub(count, 1));
      if (until) f.if(f.not(until(i.form.repeat)), () => f.branch(label));
      else f.branch(label);
    });
  };
  f.loop(again);
}

define('MOVS', (i, f) =>
  repeat(i, f, () => {
    const [from, to] = [pointer(i, f, Register.RSI), pointer(i, f, Register.RDI)];
    i.store(destination(i, to, true), source(i, from));
    advance(i, f, Register.RSI, from);
    advance(i, f, Register.RDI, to);
  }),
);

define('STOS', (i, f) => {
  const value = f.let(i.register(Register.RAX, i.width as Width));
  repeat(i, f, () => {
    const to = pointer(i, f, Register.RDI);
    i.store(destination(i, to, true), value);
    advance(i, f, Register.RDI, to);
  });
});

define('LODS', (i, f) =>
  repeat(i, f, () => {
    const from = pointer(i, f, Register.RSI);
    i.setRegister(Register.RAX, source(i, from));
    advance(i, f, Register.RSI, from);
  }),
);

/** Flags are those of the last element compared; none if there was no element. */
function comparing(i: SemanticContext, f: FunctionBuilder, compare: () => { a: Value; b: Value }): void {
  if (i.form.repeat !== 0) i.keepFlags();
  let last: { a: Value; b: Value } | undefined;
  repeat(
    i,
    f,
    () => {
      last = compare();
      i.flagsOfSub(last.a, last.b, i.form.repeat !== 0);
    },
    // REPE (F3) stops at a difference, REPNE (F2) at a match.
    (prefix) => f.compare(prefix === 0xf3 ? 'ne' : 'eq', last?.a ?? f.constant(64, 0), last?.b ?? f.constant(64, 0)),
  );
}

define('CMPS', (i, f) =>
  comparing(i, f, () => {
    const [from, to] = [pointer(i, f, Register.RSI), pointer(i, f, Register.RDI)];
    const a = source(i, from);
    const b = i.load(i.width, destination(i, to, false));
    advance(i, f, Register.RSI, from);
    advance(i, f, Register.RDI, to);
    return { a, b };
  }),
);

define('SCAS', (i, f) =>
  comparing(i, f, () => {
    const to = pointer(i, f, Register.RDI);
    const b = i.load(i.width, destination(i, to, false));
    advance(i, f, Register.RDI, to);
    return { a: f.let(i.register(Register.RAX, i.width)), b };
  }),
);
