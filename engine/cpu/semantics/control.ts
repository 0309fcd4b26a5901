import type { FunctionBuilder, Value } from '../wasm/function-builder.js';
import { Register, type SemanticContext } from './context.js';
import { RFLAGS } from './flags.js';
import { define } from './registry.js';

/** Conditions and near branches. A branch is the last statement of a block. */

define('SETcc', (i, f) => i.write(0, f.zeroExtend(i.condition(), 8)));

define('CMOVcc', (i, f) => {
  // The source is read in any case and can fault; a 32-bit destination is written in any case.
  const source = i.read(1);
  const old = i.read(0);
  i.write(0, f.select(i.condition(), source, old));
});

define('Jcc', (i, f) => {
  f.if(i.condition(), () => i.goto('target'));
  i.goto('next');
});

define('JMP', (i) => i.goto('target'));
define('JMP_INDIRECT', (i, f) => i.gotoIndirect(f.zeroExtend(i.read(0), 64)));

define('CALL', (i, f) => {
  i.push(f.zeroExtend(i.next(), i.width));
  i.goto('target');
});
define('CALL_INDIRECT', (i, f) => {
  const target = i.read(0);
  i.push(f.zeroExtend(i.next(), i.width));
  i.gotoIndirect(f.zeroExtend(target, 64));
});

define('RET', (i, f) => {
  const { value, after } = i.popped(i.width);
  const hasImmediate = i.form.operands[0]?.size === i.form.operandSize;
  i.setStackPointer(hasImmediate ? f.add(after, i.immediate(64)) : after);
  i.gotoIndirect(f.zeroExtend(value, 64));
});

/** Counts rCX down by address size and jumps unless it is zero and, for LOOPZ and LOOPNZ, ZF agrees. */
const loop =
  (alsoIf?: (f: FunctionBuilder, zero: Value) => Value) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const count = f.let(f.sub(i.register(Register.RCX, i.addressWidth), 1));
    i.setRegister(Register.RCX, count);
    let taken = f.notZero(count);
    if (alsoIf) taken = f.and(taken, alsoIf(f, f.notZero(f.and(i.statusFlags(), RFLAGS.ZF))));
    f.if(taken, () => i.goto('target'));
    i.goto('next');
  };
define('LOOP', loop());
define(
  'LOOPZ',
  loop((_, zero) => zero),
);
define(
  'LOOPNZ',
  loop((f, zero) => f.not(zero)),
);

define('JCXZ', (i, f) => {
  f.if(f.isZero(i.register(Register.RCX, i.addressWidth)), () => i.goto('target'));
  i.goto('next');
});
