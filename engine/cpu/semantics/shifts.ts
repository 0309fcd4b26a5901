import { OperandPlace } from '../decoder/instruction.js';
import type { FunctionBuilder, Value, Width } from '../wasm/function-builder.js';
import { topBit } from './arithmetic.js';
import type { SemanticContext } from './context.js';
import { RFLAGS } from './flags.js';
import { define } from './registry.js';

/**
 * Shifts and rotates. The count is masked to 5 bits (6 for 64-bit operands); a count of zero leaves the flags, but
 * a 32-bit register is still written.
 */

interface Parts {
  /** At least 32 bits wide: narrow operands are worked on in 32 bits. */
  readonly a: Value;
  readonly count: Value;
  readonly width: number;
  readonly constantCount: boolean;
}

const wider = (width: number): Width => (width === 64 ? 64 : 32);

function parts(i: SemanticContext, f: FunctionBuilder, signed: boolean, countOperand = 1): Parts {
  const original = i.readForWrite(0);
  const width = original.width;
  const wide = wider(width);
  const constantCount = i.form.operands[countOperand]?.place === OperandPlace.immediate;
  const raw = f.zeroExtend(i.read(countOperand, 8), wide);
  const count = f.let(constantCount ? raw : f.and(raw, width === 64 ? 63 : 31));
  return {
    a: f.let(signed ? f.signExtend(original, wide) : f.zeroExtend(original, wide)),
    count,
    width,
    constantCount,
  };
}

/** Runs `set` unless the count is zero. */
function unlessZero(i: SemanticContext, f: FunctionBuilder, p: Parts, set: () => void): void {
  if (p.constantCount && !i.form.zeroCount) {
    set();
    return;
  }
  i.keepFlags();
  f.if(f.notZero(p.count), set);
}

const low = (f: FunctionBuilder, v: Value): Value => f.zeroExtend(f.and(v, 1), 32);

function shift(
  signed: boolean,
  result: (f: FunctionBuilder, p: Parts) => Value,
  carry: (f: FunctionBuilder, p: Parts) => Value,
  overflow: (f: FunctionBuilder, p: Parts, result: Value) => Value,
) {
  return (i: SemanticContext, f: FunctionBuilder): void => {
    const p = parts(i, f, signed);
    const wide = f.let(result(f, p));
    const narrow = f.let(f.zeroExtend(wide, p.width as Width));
    i.write(0, narrow);
    unlessZero(i, f, p, () =>
      i.flagsOfResult(
        narrow,
        () => low(f, carry(f, p)),
        () => overflow(f, p, narrow),
      ),
    );
  };
}

const shiftOutLeft = (f: FunctionBuilder, p: Parts): Value =>
  p.width < 32
    ? f.shrU(f.shl(p.a, p.count), p.width)
    : f.shrU(p.a, f.sub(f.constant(p.width as Width, p.width), p.count));
define(
  'SHL',
  shift(
    false,
    (f, p) => f.shl(p.a, p.count),
    shiftOutLeft,
    (f, p, result) => f.xor(topBit(f, result), low(f, shiftOutLeft(f, p))),
  ),
);
define(
  'SHR',
  shift(
    false,
    (f, p) => f.shrU(p.a, p.count),
    (f, p) => f.shrU(p.a, f.sub(p.count, 1)),
    (f, p) => low(f, f.shrU(p.a, p.width - 1)),
  ),
);
define(
  'SAR',
  shift(
    true,
    (f, p) => f.shrS(p.a, p.count),
    (f, p) => f.shrS(p.a, f.sub(p.count, 1)),
    (f) => f.constant(32, 0),
  ),
);

/** Replaces CF and OF in the flags as they were. */
function setCarryOverflow(i: SemanticContext, f: FunctionBuilder, p: Parts, carry: Value, overflow: () => Value): void {
  if (!i.live) {
    i.keepFlags();
    i.flagsRaw(() => f.constant(32, 0));
    return;
  }
  const old = f.let(i.statusFlags());
  unlessZero(i, f, p, () => {
    const c = f.let(carry);
    i.flagsRaw(() => {
      const kept = f.and(old, ~(RFLAGS.CF | RFLAGS.OF));
      return f.or(f.or(kept, c), f.shl(f.and(overflow(), 1), 11));
    });
  });
}

const rotate =
  (left: boolean) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const p = parts(i, f, false);
    const { a, width } = p;
    let result: Value;
    if (width >= 32) result = f.arithmetic(left ? 'rotl' : 'rotr', a, p.count);
    else {
      const count = f.let(f.and(p.count, width - 1));
      const back = f.let(f.and(f.sub(f.constant(32, width), count), width - 1));
      result = f.or(left ? f.shl(a, count) : f.shrU(a, count), left ? f.shrU(a, back) : f.shl(a, back));
    }
    const r = f.let(f.zeroExtend(result, width as Width));
    i.write(0, r);
    const second = (): Value => f.zeroExtend(f.and(f.shrU(r, width - 2), 1), 32);
    if (left) setCarryOverflow(i, f, p, low(f, r), () => f.xor(topBit(f, r), low(f, r)));
    else setCarryOverflow(i, f, p, topBit(f, r), () => f.xor(topBit(f, r), second()));
  };
define('ROL', rotate(true));
define('ROR', rotate(false));

/** Rotation through CF: of width + 1 bits. */
const rotateCarry =
  (left: boolean) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const p = parts(i, f, false);
    const { width } = p;
    const carryIn = f.let(f.zeroExtend(i.carry(), 64));
    const a = f.let(f.zeroExtend(p.a, 64));
    const given = f.zeroExtend(p.count, 64);
    const n = f.let(width < 32 ? f.arithmetic('remU', given, width + 1) : given);
    const rest = f.let(f.sub(f.constant(64, width), n));
    // Shifts by n - 1 and by width - n, each split so that no count reaches 64.
    const zero = f.let(f.isZero(n));
    const less = f.let(f.and(f.sub(n, 1), 63));
    const away = left ? f.shl(a, n) : f.shrU(a, n);
    const around = left ? f.shrU(f.shrU(a, 1), rest) : f.shl(f.shl(a, 1), rest);
    const carryPlace = left ? f.shl(carryIn, less) : f.shl(carryIn, rest);
    const turned = f.or(f.or(away, around), carryPlace);
    const out = left ? f.shrU(a, rest) : f.shrU(a, less);
    const r = f.let(f.zeroExtend(f.select(zero, a, turned), width as Width));
    const carryOut = f.let(f.zeroExtend(f.and(f.select(zero, carryIn, out), 1), 32));
    i.write(0, r);
    const second = (): Value => f.zeroExtend(f.and(f.shrU(r, width - 2), 1), 32);
    setCarryOverflow(i, f, p, carryOut, () => f.xor(topBit(f, r), left ? carryOut : second()));
  };
define('RCL', rotateCarry(true));
define('RCR', rotateCarry(false));

/** Shift that takes its new bits from a second operand. 16-bit counts above 16 are undefined. */
const double =
  (left: boolean) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const p = parts(i, f, false, 2);
    const { a, count, width } = p;
    const wide = wider(width);
    const b = f.let(f.zeroExtend(i.read(1), wide));
    let result: Value;
    let carry: Value;
    if (width === 16) {
      // 48 bits, b twice, which is what processors shift in for counts above 16.
      const twice = f.let(f.zeroExtend(f.or(f.shl(b, 16), b), 64));
      const a64 = f.zeroExtend(a, 64);
      const joined = f.let(left ? f.or(f.shl(a64, 32), twice) : f.or(f.shl(twice, 16), a64));
      const n = f.let(f.zeroExtend(count, 64));
      result = f.zeroExtend(left ? f.shrU(f.shl(joined, n), 32) : f.shrU(joined, n), 32);
      const lastOut = left ? f.shrU(joined, f.sub(f.constant(64, 48), n)) : f.shrU(joined, f.sub(n, 1));
      carry = f.select(f.compare('gtU', count, 16), f.constant(32, 0), f.zeroExtend(lastOut, 32));
    } else {
      const back = f.let(f.sub(f.constant(wide, width), count));
      const turned = left ? f.or(f.shl(a, count), f.shrU(b, back)) : f.or(f.shrU(a, count), f.shl(b, back));
      result = f.select(f.isZero(count), a, turned);
      carry = f.zeroExtend(left ? f.shrU(a, back) : f.shrU(a, f.sub(count, 1)), 32);
    }
    const r = f.let(f.zeroExtend(result, width as Width));
    i.write(0, r);
    const original = f.let(f.zeroExtend(a, width as Width));
    const out = f.let(f.and(carry, 1));
    unlessZero(i, f, p, () =>
      i.flagsOfResult(
        r,
        () => out,
        () => topBit(f, f.xor(original, r)),
      ),
    );
  };
define('SHLD', double(true));
define('SHRD', double(false));
