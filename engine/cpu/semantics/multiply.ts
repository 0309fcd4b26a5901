import { SECOND_RESULT } from '../state/layout.js';
import type { FunctionBuilder, Value, Width } from '../wasm/function-builder.js';
import { Register, type SemanticContext } from './context.js';
import { define } from './registry.js';

/** Multiplication and division. */

const DIVIDE_ERROR = 0;

function highProduct(i: SemanticContext, f: FunctionBuilder, a: Value, b: Value, signed: boolean): Value {
  const high = f.let(i.help('multiplyHigh', 64, [a, b]));
  if (!signed) return high;
  const corrected = f.sub(high, f.and(f.shrS(a, 63), b));
  return f.let(f.sub(corrected, f.and(f.shrS(b, 63), a)));
}

/** rDX:rAX (AX for bytes) from rAX times an operand. */
const multiplyWide =
  (signed: boolean) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const b = i.read(0);
    const { width } = b;
    const a = f.let(i.register(Register.RAX, width as Width));
    let low: Value;
    let high: Value;
    if (width === 64) {
      low = f.let(f.mul(a, b));
      high = highProduct(i, f, a, b, signed);
      i.setRegister(Register.RAX, low);
      i.setRegister(Register.RDX, high);
    } else {
      const wide = (v: Value): Value => (signed ? f.signExtend(v, 64) : f.zeroExtend(v, 64));
      const product = f.let(f.mul(wide(a), wide(b)));
      low = f.let(f.zeroExtend(product, width as Width));
      high = f.let(f.zeroExtend(f.shrU(product, width), width as Width));
      if (width === 8) i.setRegister(Register.RAX, f.zeroExtend(product, 16));
      else {
        i.setRegister(Register.RAX, low);
        i.setRegister(Register.RDX, high);
      }
    }
    const lost = (): Value => {
      if (!signed) return f.notZero(high);
      const sign = f.shrS(f.signExtend(low, width === 64 ? 64 : 32), width === 64 ? 63 : 31);
      return f.compare('ne', f.signExtend(high, width === 64 ? 64 : 32), sign);
    };
    i.flagsOfResult(low, lost, lost);
  };
define('MUL', multiplyWide(false));
define('IMUL1', multiplyWide(true));

const multiplyInto =
  (first: number, second: number) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const a = f.signExtend(i.read(first), 64);
    const b = f.signExtend(i.read(second), 64);
    const [x, y] = [f.let(a), f.let(b)];
    const product = f.let(f.mul(x, y));
    const result = f.let(f.zeroExtend(product, i.width));
    const high = i.width === 64 && i.live ? highProduct(i, f, x, y, true) : undefined;
    i.write(0, result);
    const lost = (): Value =>
      high ? f.compare('ne', high, f.shrS(product, 63)) : f.compare('ne', product, f.signExtend(result, 64));
    i.flagsOfResult(result, lost, lost);
  };
define('IMUL2', multiplyInto(0, 1));
define('IMUL3', multiplyInto(1, 2));

/** Quotient and remainder into their registers: AL and AH, or rAX and rDX. */
function setQuotient(i: SemanticContext, f: FunctionBuilder, width: Width, quotient: Value, remainder: Value): void {
  if (width === 8) {
    const low = f.zeroExtend(f.zeroExtend(f.zeroExtend(quotient, 8), 32), 16);
    i.setRegister(Register.RAX, f.or(low, f.shl(f.zeroExtend(remainder, 16), 8)));
    return;
  }
  i.setRegister(Register.RAX, f.zeroExtend(quotient, width));
  i.setRegister(Register.RDX, f.zeroExtend(remainder, width));
}

/** The dividend of 16, 32 or 64 bits, in 64 bits. */
function dividend(i: SemanticContext, f: FunctionBuilder, width: Width): Value {
  if (width === 8) return f.zeroExtend(i.register(Register.RAX, 16), 64);
  const high = f.shl(f.zeroExtend(i.register(Register.RDX, width), 64), width);
  return f.or(high, f.zeroExtend(i.register(Register.RAX, width), 64));
}

define('DIV', (i, f) => {
  const operand = i.read(0);
  const width = operand.width as Width;
  const divisor = f.let(f.zeroExtend(operand, 64));
  if (width === 64) {
    const high = f.let(i.register(Register.RDX, 64));
    // Zero divides nothing, and a high half from the divisor up does not fit.
    f.if(f.compare('geU', high, divisor), () => i.raise(DIVIDE_ERROR));
    const quotient = f.let(i.help('divide128', 64, [high, i.register(Register.RAX, 64), divisor]));
    setQuotient(i, f, 64, quotient, f.loadAt(64, SECOND_RESULT));
    return;
  }
  const n = f.let(dividend(i, f, width));
  f.if(f.compare('geU', f.shrU(n, width), divisor), () => i.raise(DIVIDE_ERROR));
  setQuotient(i, f, width, f.arithmetic('divU', n, divisor), f.arithmetic('remU', n, divisor));
});

define('IDIV', (i, f) => {
  const operand = i.read(0);
  const width = operand.width as Width;
  const divisor = f.let(f.signExtend(operand, 64));
  f.if(f.isZero(divisor), () => i.raise(DIVIDE_ERROR));
  if (width === 64) {
    divideSigned128(i, f, divisor);
    return;
  }
  // Sign-extends the double-width dividend.
  const unused = 64 - 2 * width;
  const n = f.let(f.shrS(f.shl(dividend(i, f, width), unused), unused));
  // The one quotient that 64 bits cannot hold.
  const smallest = f.compare('eq', n, f.constant(64, -(1n << 63n)));
  f.if(f.and(smallest, f.compare('eq', divisor, -1)), () => i.raise(DIVIDE_ERROR));
  const quotient = f.let(f.arithmetic('divS', n, divisor));
  const remainder = f.let(f.arithmetic('remS', n, divisor));
  const narrow = f.shrS(f.shl(quotient, 64 - width), 64 - width);
  f.if(f.compare('ne', narrow, quotient), () => i.raise(DIVIDE_ERROR));
  setQuotient(i, f, width, quotient, remainder);
});

/** Divides magnitudes, then puts the signs back. */
function divideSigned128(i: SemanticContext, f: FunctionBuilder, divisor: Value): void {
  const high = f.variable(64);
  const low = f.variable(64);
  f.set(high, i.register(Register.RDX, 64));
  f.set(low, i.register(Register.RAX, 64));
  const negative = f.let(f.compare('ltS', f.get(high), 0));
  f.if(negative, () => {
    f.set(low, f.sub(f.constant(64, 0), f.get(low)));
    f.set(high, f.sub(f.sub(f.constant(64, 0), f.get(high)), f.zeroExtend(f.notZero(f.get(low)), 64)));
  });
  const negate = (v: Value, when: Value): Value => {
    const mask = f.let(f.sub(f.constant(64, 0), f.zeroExtend(when, 64)));
    return f.sub(f.xor(v, mask), mask);
  };
  const divisorNegative = f.let(f.compare('ltS', divisor, 0));
  const magnitude = f.let(negate(divisor, divisorNegative));
  f.if(f.compare('geU', f.get(high), magnitude), () => i.raise(DIVIDE_ERROR));
  const absolute = f.let(i.help('divide128', 64, [f.get(high), f.get(low), magnitude]));
  const opposite = f.let(f.xor(negative, divisorNegative));
  // Largest magnitude: 2^63 if the quotient is negative, one less if not.
  const largest = f.add(f.constant(64, (1n << 63n) - 1n), f.zeroExtend(opposite, 64));
  f.if(f.compare('gtU', absolute, largest), () => i.raise(DIVIDE_ERROR));
  const quotient = f.let(negate(absolute, opposite));
  setQuotient(i, f, 64, quotient, negate(f.loadAt(64, SECOND_RESULT), negative));
}
