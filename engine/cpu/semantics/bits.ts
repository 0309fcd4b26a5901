import { OperandPlace } from '../decoder/instruction.js';
import type { FunctionBuilder, Value, Width } from '../wasm/function-builder.js';
import type { SemanticContext } from './context.js';
import { RFLAGS, STATUS_FLAGS } from './flags.js';
import { define } from './registry.js';

/** Bit tests, bit scans, counts, CRC32. */

type BitChange = 'test' | 'set' | 'reset' | 'complement';

function changed(f: FunctionBuilder, value: Value, mask: Value, change: BitChange): Value {
  switch (change) {
    case 'set':
      return f.or(value, mask);
    case 'reset':
      return f.and(value, f.xor(mask, -1));
    default:
      return f.xor(value, mask);
  }
}

/** Only CF is defined; processors leave the others as they were. */
function setCarry(i: SemanticContext, f: FunctionBuilder, carry: Value): void {
  const c = f.let(carry);
  const old = i.live ? f.let(i.statusFlags()) : undefined;
  i.flagsRaw(() => f.or(f.and(old ?? f.constant(32, 0), ~RFLAGS.CF), c));
}

const bitTest =
  (change: BitChange) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const { width } = i;
    const wide = width === 64 ? 64 : 32;
    const isRegisterOffset = i.form.operands[1]?.place === OperandPlace.register;
    const raw = f.let(isRegisterOffset ? f.signExtend(i.read(1), 64) : f.zeroExtend(i.read(1, 8), 64));
    const bit = f.let(f.zeroExtend(f.and(raw, width - 1), wide));
    const finish = (value: Value, write: (result: Value) => void): void => {
      const wideValue = f.let(f.zeroExtend(value, wide));
      if (change !== 'test') {
        write(f.zeroExtend(changed(f, wideValue, f.shl(f.constant(wide, 1), bit), change), width));
      }
      setCarry(i, f, f.zeroExtend(f.and(f.shrU(wideValue, bit), 1), 32));
    };
    if (!i.isMemory(0) || !isRegisterOffset) {
      finish(change === 'test' ? i.read(0) : i.readForWrite(0), (result) => i.write(0, result));
      return;
    }
    // A bit offset in a register reaches beyond the operand, in both directions.
    const shift = Math.log2(width);
    const distance = f.shl(f.shrS(raw, shift), shift - 3);
    const offset = f.let(i.wrapAddress(f.add(i.effective(), distance)));
    const linear = i.operandLinear(width / 8, change !== 'test', offset);
    if (change === 'test') finish(i.load(width, linear), () => {});
    else {
      const place = i.writable(linear, width / 8);
      finish(f.let(f.load(width, place.pointer)), (result) => i.storeTo(place, result));
    }
  };
define('BT BT_REG', bitTest('test'));
define('BTS BTS_REG', bitTest('set'));
define('BTR BTR_REG', bitTest('reset'));
define('BTC BTC_REG', bitTest('complement'));

/** A source of zero leaves the destination as it was. */
const scan =
  (forward: boolean) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const { width } = i;
    const wide: Width = width === 64 ? 64 : 32;
    const value = f.let(f.zeroExtend(i.read(1), wide));
    const zero = f.let(f.isZero(value));
    f.if(f.not(zero), () => {
      const index = forward ? f.countBits('ctz', value) : f.sub(f.constant(wide, wide - 1), f.countBits('clz', value));
      i.write(0, f.zeroExtend(index, width));
    });
    const old = i.live ? f.let(i.statusFlags()) : undefined;
    i.flagsRaw(() => f.or(f.and(old ?? f.constant(32, 0), ~RFLAGS.ZF), f.shl(zero, 6)));
  };
define('BSF', scan(true));
define('BSR', scan(false));

/** CF: the source was zero. ZF: the result is. */
const countZeros =
  (trailing: boolean) =>
  (i: SemanticContext, f: FunctionBuilder): void => {
    const { width } = i;
    const wide: Width = width === 64 ? 64 : 32;
    const value = f.let(f.zeroExtend(i.read(1), wide));
    let count: Value;
    if (width !== 16) count = f.countBits(trailing ? 'ctz' : 'clz', value);
    else if (trailing) count = f.countBits('ctz', f.or(value, 0x1_0000));
    else count = f.sub(f.countBits('clz', value), 16);
    const result = f.let(count);
    i.write(0, f.zeroExtend(result, width));
    const old = i.live ? f.let(i.statusFlags()) : undefined;
    i.flagsRaw(() => {
      const kept = f.and(old ?? f.constant(32, 0), ~(RFLAGS.CF | RFLAGS.ZF));
      return f.or(f.or(kept, f.isZero(value)), f.shl(f.isZero(result), 6));
    });
  };
define('TZCNT', countZeros(true));
define('LZCNT', countZeros(false));

define('POPCNT', (i, f) => {
  const wide: Width = i.width === 64 ? 64 : 32;
  const value = f.let(f.zeroExtend(i.read(1), wide));
  i.write(0, f.zeroExtend(f.countBits('popcnt', value), i.width));
  i.flagsRaw(() => f.shl(f.isZero(value), 6));
});

define('CRC32', (i, f) => {
  const value = i.read(1);
  const crc = f.zeroExtend(i.read(0), 32);
  const bytes = f.constant(32, value.width / 8);
  const result = i.help('crc32c', 32, [crc, f.zeroExtend(value, 64), bytes]);
  i.write(0, f.zeroExtend(result, i.form.operands[0]?.size === 8 ? 64 : 32));
});

// --- flags themselves ---
const carryOperation =
  (change: (f: FunctionBuilder, flags: Value) => Value) => (i: SemanticContext, f: FunctionBuilder) => {
    const old = f.let(i.statusFlags());
    i.flagsRaw(() => change(f, old));
  };
define(
  'CLC',
  carryOperation((f, flags) => f.and(flags, ~RFLAGS.CF)),
);
define(
  'STC',
  carryOperation((f, flags) => f.or(flags, RFLAGS.CF)),
);
define(
  'CMC',
  carryOperation((f, flags) => f.xor(flags, RFLAGS.CF)),
);
define('CLD', (i, f) => i.setSystemFlags(f.and(i.systemFlags(), ~RFLAGS.DF)));
define('STD', (i, f) => i.setSystemFlags(f.or(i.systemFlags(), RFLAGS.DF)));

/** AH is bits 15:8 of RAX; bit 1 of the flags always reads as one. */
const AH = 0x101;
define('LAHF', (i, f) => f.storeAt(AH, f.zeroExtend(f.or(i.statusFlags(), 2), 8)));
define('SAHF', (i, f) => {
  const mask = STATUS_FLAGS & 0xff;
  const old = f.let(i.statusFlags());
  i.flagsRaw(() => f.or(f.and(old, RFLAGS.OF), f.and(f.zeroExtend(f.loadAt(8, AH), 32), mask)));
});
