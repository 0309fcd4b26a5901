import type { FunctionBuilder, Value, Width } from '../wasm/function-builder.js';
import { Register, type SemanticContext } from './context.js';
import { RFLAGS } from './flags.js';
import { define } from './registry.js';

/** Addition, subtraction, logic, comparison. */

/** Top bit as 0 or 1 in 32 bits. */
export const topBit = (f: FunctionBuilder, v: Value): Value => f.zeroExtend(f.and(f.shrU(v, v.width - 1), 1), 32);
const bit4 = (f: FunctionBuilder, v: Value): Value => f.and(f.shrU(f.zeroExtend(v, 32), 4), 1);

define('ADD', (i, f) => {
  const a = i.readForWrite(0);
  const sum = f.let(f.add(a, i.read(1)));
  i.write(0, sum);
  i.flagsOfAdd(a, sum);
});

define('SUB', (i, f) => {
  const a = i.readForWrite(0);
  const b = i.read(1);
  i.write(0, f.sub(a, b));
  i.flagsOfSub(a, b);
});

define('CMP', (i) => i.flagsOfSub(i.read(0), i.read(1)));

const logic =
  (operation: 'and' | 'or' | 'xor') =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const a = i.readForWrite(0);
    const result = f.let(f.arithmetic(operation, a, i.read(1)));
    i.write(0, result);
    i.flagsOfLogic(result);
  };
define('AND', logic('and'));
define('OR', logic('or'));
define('XOR', logic('xor'));
define('TEST', (i, f) => i.flagsOfLogic(f.let(f.and(i.read(0), i.read(1)))));

define('ADC', (i, f) => {
  const a = i.readForWrite(0);
  const b = i.read(1);
  const carry = f.let(i.carry());
  const sum = f.let(f.add(f.add(a, b), f.zeroExtend(carry, a.width as Width)));
  i.write(0, sum);
  i.flagsOfResult(
    sum,
    () => f.or(f.compare('ltU', sum, a), f.and(carry, f.compare('eq', sum, a))),
    () => topBit(f, f.and(f.xor(a, sum), f.xor(b, sum))),
    () => bit4(f, f.xor(f.xor(a, b), sum)),
  );
});

define('SBB', (i, f) => {
  const a = i.readForWrite(0);
  const b = i.read(1);
  const borrow = f.let(i.carry());
  const difference = f.let(f.sub(f.sub(a, b), f.zeroExtend(borrow, a.width as Width)));
  i.write(0, difference);
  i.flagsOfResult(
    difference,
    () => f.or(f.compare('ltU', a, b), f.and(borrow, f.compare('eq', a, b))),
    () => topBit(f, f.and(f.xor(a, b), f.xor(a, difference))),
    () => bit4(f, f.xor(f.xor(a, b), difference)),
  );
});

define('NOT', (i, f) => i.write(0, f.xor(i.readForWrite(0), -1)));
define('NEG', (i, f) => {
  const a = i.readForWrite(0);
  const zero = f.constant(a.width as Width, 0);
  i.write(0, f.sub(zero, a));
  i.flagsOfSub(zero, a);
});

const step =
  (operation: 'add' | 'sub') =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const carry = i.live ? f.let(i.carry()) : f.constant(32, 0);
    const a = i.readForWrite(0);
    const result = f.let(f.arithmetic(operation, a, 1));
    i.write(0, result);
    // Overflow: the most negative number was reached upwards or left downwards.
    const extreme = operation === 'add' ? result : a;
    const mostNegative = f.constant(a.width as Width, 1n << BigInt(a.width - 1));
    i.flagsOfResult(
      result,
      () => carry,
      () => f.compare('eq', extreme, mostNegative),
      () => bit4(f, f.xor(a, result)),
    );
  };
define('INC', step('add'));
define('DEC', step('sub'));

define('XADD', (i, f) => {
  const a = i.readForWrite(0);
  const b = i.read(1);
  const sum = f.let(f.add(a, b));
  // The register first: with both operands the same, the sum stays.
  if (i.isMemory(0)) {
    i.write(0, sum);
    i.write(1, a);
  } else {
    i.write(1, a);
    i.write(0, sum);
  }
  i.flagsOfAdd(a, sum);
});

define('CMPXCHG', (i, f) => {
  const old = i.readForWrite(0);
  const expected = f.let(i.register(Register.RAX, old.width as Width));
  const replacement = i.read(1);
  const equal = f.let(f.compare('eq', expected, old));
  // Memory is always written; a register that did not match keeps even its upper half.
  f.if(
    equal,
    () => i.write(0, replacement),
    () => {
      if (i.isMemory(0)) i.write(0, old);
      i.setRegister(Register.RAX, old);
    },
  );
  i.flagsOfSub(expected, old);
});

/** CMPXCHG8B and, with REX.W, CMPXCHG16B, which wants its operand aligned. */
define('CMPXCHG8B', (i, f) => {
  const half = i.form.operandSize === 8 ? 64 : 32;
  const offset = i.effective();
  const linear = i.operandLinear(half / 4, true, offset);
  if (half === 64) f.if(f.notZero(f.and(linear, 15)), () => i.raise(13));
  const place = i.writable(linear, half / 4);
  const low = f.let(f.load(half, place.pointer));
  const high = f.let(f.load(half, place.pointer, half / 8));
  const sameLow = f.compare('eq', low, i.register(Register.RAX, half));
  const equal = f.let(f.and(sameLow, f.compare('eq', high, i.register(Register.RDX, half))));
  f.if(
    equal,
    () => {
      f.store(place.pointer, 0, i.register(Register.RBX, half));
      f.store(place.pointer, half / 8, i.register(Register.RCX, half));
      i.finishStore(place);
    },
    () => {
      i.setRegister(Register.RAX, low);
      i.setRegister(Register.RDX, high);
    },
  );
  const flags = f.let(i.statusFlags());
  i.flagsRaw(() => f.or(f.and(flags, ~RFLAGS.ZF), f.shl(equal, 6)));
});

const addExtended =
  (flag: number) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const shift = flag === RFLAGS.CF ? 0 : 11;
    const old = f.let(i.statusFlags());
    const carry = f.and(f.shrU(old, shift), 1);
    const a = i.read(0);
    const b = i.read(1);
    const bound = f.let(carry);
    const sum = f.let(f.add(f.add(a, b), f.zeroExtend(bound, a.width as Width)));
    i.write(0, sum);
    const out = f.let(f.or(f.compare('ltU', sum, a), f.and(bound, f.compare('eq', sum, a))));
    i.flagsRaw(() => f.or(f.and(old, ~flag), f.shl(out, shift)));
  };
define('ADCX', addExtended(RFLAGS.CF));
define('ADOX', addExtended(RFLAGS.OF));
