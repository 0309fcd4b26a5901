import { FLAG, type Float, FloatKind, INDEFINITE, isNan, normalised, quieted } from '../../float/float.js';
import { DOUBLE, decodeFloat, encodeFloat, type Interchange, SINGLE } from '../../float/format.js';
import { RoundingMode, round, roundToInteger } from '../../float/round.js';
import { RFLAGS, STATUS_FLAGS } from '../../semantics/flags.js';
import { probeWrite, readMemory, readTenBytes, writeMemory, writeTenBytes } from '../operands.js';
import { order, readInteger } from './arithmetic.js';
import { stackOperand, type X87Context, type X87Operation } from './instruction.js';
import { type RawRegister, STATUS, type X87Registers } from './registers.js';

/** Loads, stores, exchanges and conditional moves: APM volume 5. */

const RAW_INDEFINITE: RawRegister = { significand: 0xc000n << 48n, signAndExponent: 0xffff };

/** Room for one more; a full stack takes an indefinite value if the exception is masked. */
export function push(r: X87Registers, write: () => void): void {
  const full = !r.isEmpty(-1 & 7);
  if (full && !r.stackFault(true)) return;
  r.top -= 1;
  if (full) r.setRaw(0, RAW_INDEFINITE);
  else write();
}

/** Loads of 32 and 64 bits make a signalling NaN quiet. */
function loadReal({ v, i, r }: X87Context): void {
  const { size } = i.operands[0];
  const x = decodeFloat(readMemory(v, i, size), size === 4 ? SINGLE : DOUBLE);
  const signalling = x.kind === FloatKind.signalling;
  const flags = signalling ? FLAG.invalid : x.denormal ? FLAG.denormal : 0;
  // A denormal is loaded even if its exception is not masked.
  if (r.isEmpty(7) && !r.raise(flags) && signalling) return;
  push(r, () => r.set(0, signalling ? quieted(x) : x));
}

function loadExtended({ v, i, r }: X87Context): void {
  const bits = readTenBytes(v, i);
  r.raise(0);
  const value = { significand: BigInt.asUintN(64, bits), signAndExponent: Number(bits >> 64n) };
  push(r, () => r.setRaw(0, value));
}

function loadRegister({ i, r }: X87Context): void {
  const n = stackOperand(i);
  if (r.isEmpty(n)) {
    if (!r.stackFault()) return;
    r.top -= 1;
    r.setRaw(0, RAW_INDEFINITE);
    return;
  }
  const value = r.raw(n);
  r.raise(0);
  push(r, () => r.setRaw(0, value));
}

/** Undocumented: as FSTP, but an empty register is no fault and is not stored. */
function storeAndPop({ i, r }: X87Context): void {
  r.raise(0);
  if (!r.isEmpty(0)) r.setRaw(stackOperand(i), r.raw(0));
  r.pop();
}

const storeRegister =
  (pops: number): X87Operation =>
  ({ i, r }) => {
    const empty = r.isEmpty(0);
    if (!(empty ? r.stackFault() : r.raise(0))) return;
    r.setRaw(stackOperand(i), empty ? RAW_INDEFINITE : r.raw(0));
    if (pops > 0) r.pop();
  };

/** Bits for memory, flags and C1; no bits where an unmasked exception keeps the store from being done. */
function narrowed(r: X87Registers, x: Float, format: Interchange): { bits?: bigint; flags: number; up: boolean } {
  if (x.kind === FloatKind.unsupported) {
    return { bits: encodeFloat(INDEFINITE, format), flags: FLAG.invalid, up: false };
  }
  if (isNan(x)) {
    const flags = x.kind === FloatKind.signalling ? FLAG.invalid : 0;
    return { bits: encodeFloat(quieted(x), format), flags, up: false };
  }
  if (x.kind !== FloatKind.finite) return { bits: encodeFloat(x, format), flags: 0, up: false };
  const { value, flags, up } = round(x, format, { mode: r.rounding, masks: r.masks });
  const stopped = flags & ~r.masks & (FLAG.overflow | FLAG.underflow);
  if (stopped !== 0) return { flags: flags & ~FLAG.inexact, up: false };
  return { bits: encodeFloat(value, format), flags, up };
}

const storeReal =
  (pops: number): X87Operation =>
  ({ v, i, r }) => {
    const { size } = i.operands[0];
    const format = size === 4 ? SINGLE : DOUBLE;
    const empty = r.isEmpty(0);
    const { bits, flags, up } = empty
      ? { bits: encodeFloat(INDEFINITE, format), flags: 0, up: false }
      : narrowed(r, r.get(0), format);
    const invalid = empty || (flags & FLAG.invalid) !== 0;
    // Memory that cannot be written comes before any exception of the store.
    if (bits !== undefined && !(invalid && (r.masks & FLAG.invalid) === 0)) writeMemory(v, i, size, bits);
    else probeWrite(v, i, size);
    if (!(empty ? r.stackFault() : r.raise(flags, up)) || bits === undefined) return;
    if (pops > 0) r.pop();
  };

function storeExtended({ v, i, r }: X87Context): void {
  const empty = r.isEmpty(0);
  if (empty && (r.masks & FLAG.invalid) === 0) {
    probeWrite(v, i, 10);
    r.stackFault();
    return;
  }
  const { significand, signAndExponent } = empty ? RAW_INDEFINITE : r.raw(0);
  writeTenBytes(v, i, significand | (BigInt(signAndExponent) << 64n));
  if (empty) r.stackFault();
  else r.raise(0);
  r.pop();
}

const storeInteger =
  (pops: number, truncates: boolean): X87Operation =>
  ({ v, i, r }) => {
    const { size } = i.operands[0];
    const bits = 8 * size;
    const empty = r.isEmpty(0);
    const x = empty ? INDEFINITE : r.get(0);
    const { magnitude, inexact, up } = roundToInteger(x, truncates ? RoundingMode.truncate : r.rounding);
    const limit = 1n << BigInt(bits - 1);
    const fits =
      (x.kind === FloatKind.finite || x.kind === FloatKind.zero) &&
      (x.negative ? magnitude <= limit : magnitude < limit);
    const value = fits ? BigInt.asUintN(bits, x.negative ? -magnitude : magnitude) : limit;
    if (fits || (r.masks & FLAG.invalid) !== 0) writeMemory(v, i, size, value);
    else probeWrite(v, i, size);
    const flags = fits ? (inexact ? FLAG.inexact : 0) : FLAG.invalid;
    if (!(empty ? r.stackFault() : r.raise(flags, fits && up))) return;
    if (pops > 0) r.pop();
  };

// --- packed decimal: 18 digits, two in a byte, and a byte for the sign ---
const DIGITS = 18;
const DECIMAL_INDEFINITE = 0xffff_c000_0000_0000_0000n;

function loadDecimal({ v, i, r }: X87Context): void {
  const bits = readTenBytes(v, i);
  let value = 0n;
  for (let n = DIGITS - 1; n >= 0; n--) value = value * 10n + ((bits >> BigInt(4 * n)) & 0xfn);
  r.raise(0);
  const negative = bits >> 79n !== 0n;
  push(r, () => r.set(0, normalised({ negative, significand: value, exponent: 0 })));
}

function storeDecimal({ v, i, r }: X87Context): void {
  const empty = r.isEmpty(0);
  const x = empty ? INDEFINITE : r.get(0);
  const { magnitude, inexact, up } = roundToInteger(x, r.rounding);
  const fits = (x.kind === FloatKind.finite || x.kind === FloatKind.zero) && magnitude < 10n ** BigInt(DIGITS);
  let value = DECIMAL_INDEFINITE;
  if (fits) {
    value = x.negative ? 0x80n << 72n : 0n;
    for (const [n, digit] of [...magnitude.toString()].reverse().entries()) value |= BigInt(digit) << BigInt(4 * n);
  }
  if (fits || (r.masks & FLAG.invalid) !== 0) writeTenBytes(v, i, value);
  else probeWrite(v, i, 10);
  const flags = fits ? (inexact ? FLAG.inexact : 0) : FLAG.invalid;
  if (!(empty ? r.stackFault() : r.raise(flags, fits && up))) return;
  r.pop();
}

function exchange({ i, r }: X87Context): void {
  const n = stackOperand(i);
  const empty = r.isEmpty(0) || r.isEmpty(n);
  if (!(empty ? r.stackFault() : r.raise(0))) return;
  const [a, b] = [r.isEmpty(0) ? RAW_INDEFINITE : r.raw(0), r.isEmpty(n) ? RAW_INDEFINITE : r.raw(n)];
  r.setRaw(n, a);
  r.setRaw(0, b);
}

const conditionalMove =
  (flags: number, wanted: boolean): X87Operation =>
  ({ v, i, r }) => {
    const n = stackOperand(i);
    if (r.isEmpty(0) || r.isEmpty(n)) {
      if (r.stackFault()) r.setRaw(0, RAW_INDEFINITE);
    } else if (((v.registers.flags & flags) !== 0) === wanted) r.setRaw(0, r.raw(n));
  };
const MOVES: Readonly<Record<string, number>> = {
  B: RFLAGS.CF,
  E: RFLAGS.ZF,
  BE: RFLAGS.CF | RFLAGS.ZF,
  U: RFLAGS.PF,
};

/** Comparison into RFLAGS. */
const compareFlags =
  (quiet: boolean, pops: number): X87Operation =>
  ({ v, i, r }) => {
    const n = stackOperand(i);
    const known = !r.isEmpty(0) && !r.isEmpty(n);
    const result = known ? order(r.get(0), r.get(n), quiet) : undefined;
    // C1 stays unless it tells of a stack fault.
    const c1 = (r.status & STATUS.C1) !== 0;
    const done = result ? r.raise(result.flags, c1) : r.stackFault();
    const bits = { less: RFLAGS.CF, equal: RFLAGS.ZF, greater: 0, unordered: RFLAGS.CF | RFLAGS.PF | RFLAGS.ZF };
    v.registers.flags = (v.registers.flags & ~STATUS_FLAGS) | bits[result?.order ?? 'unordered'];
    if (done && pops > 0) r.pop();
  };

export const TRANSFERS: Readonly<Record<string, X87Operation>> = {
  FLD: loadRegister,
  FLD_M: loadReal,
  FLD_EXTENDED: loadExtended,
  FST: storeRegister(0),
  FSTP: storeRegister(1),
  FSTPNCE: storeAndPop,
  FST_M: storeReal(0),
  FSTP_M: storeReal(1),
  FSTP_EXTENDED: storeExtended,
  FILD: (context) => {
    const value = readInteger(context);
    context.r.raise(0);
    push(context.r, () => context.r.set(0, value));
  },
  FIST: storeInteger(0, false),
  FISTP: storeInteger(1, false),
  FISTTP: storeInteger(1, true),
  FBLD: loadDecimal,
  FBSTP: storeDecimal,
  FXCH: exchange,
  ...Object.fromEntries(
    Object.entries(MOVES).flatMap(([name, flags]): [string, X87Operation][] => [
      [`FCMOV${name}`, conditionalMove(flags, true)],
      [`FCMOVN${name}`, conditionalMove(flags, false)],
    ]),
  ),
  FCOMI: compareFlags(false, 0),
  FCOMIP: compareFlags(false, 1),
  FUCOMI: compareFlags(true, 0),
  FUCOMIP: compareFlags(true, 1),
};
