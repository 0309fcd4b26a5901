import type { FunctionBuilder, Value, Width } from '../wasm/function-builder.js';
import { Register, type SemanticContext } from './context.js';
import { define } from './registry.js';

/** Data movement: APM volume 3, chapter 3. */

define('MOV', (i) => i.write(0, i.read(1, i.form.operands[0]?.size === 8 ? 64 : undefined)));
define('NOP', () => {});
define('LEA', (i, f) => i.write(0, f.zeroExtend(i.effective(), i.width)));
define('MOVZX', (i, f) => i.write(0, f.zeroExtend(i.read(1), i.width)));
define('MOVSX MOVSXD', (i, f) => i.write(0, f.signExtend(i.read(1), i.width)));

define('XCHG', (i) => {
  const a = i.readForWrite(0);
  const b = i.read(1);
  i.write(0, b);
  i.write(1, a);
});

define('PUSH', (i, f) => i.push(f.signExtend(i.read(0), i.width)));
define('POP', (i) => {
  const { value, after } = i.popped(i.width);
  if (!i.isMemory(0)) {
    i.setStackPointer(after);
    i.write(0, value);
    return;
  }
  // An address with RSP as base counts from the stack pointer after the pop.
  const before = i.stackPointer();
  i.setStackPointer(after);
  const address = i.effective();
  i.setStackPointer(before);
  i.store(i.operandLinear(i.width / 8, true, address), value);
  i.setStackPointer(after);
});
define('PUSHF', (i, f) => {
  // RF and VM are pushed as zero.
  const flags = f.or(f.and(i.systemFlags(), ~0x3_0000), i.statusFlags());
  i.push(f.zeroExtend(flags, i.width));
});
define('LEAVE', (i, f) => {
  const frame = f.let(f.zeroExtend(i.register(Register.RBP, i.form.stackSize), 64));
  const value = i.load(i.width, i.linear('SS', frame, i.width / 8, false), true);
  i.setStackPointer(f.add(frame, i.width / 8));
  i.setRegister(Register.RBP, value);
});
define('PUSH_SEG', (i, f) => i.push(f.zeroExtend(i.read(0, 16), i.width)));
define('MOV_FROM_SEG', (i, f) => {
  // Memory takes 16 bits, a register the operand size.
  i.write(0, i.isMemory(0) ? i.read(1, 16) : f.zeroExtend(i.read(1, 16), i.width));
});

const half = (i: SemanticContext): Width => (i.width / 2) as Width;
define('CBW', (i, f) => i.setRegister(Register.RAX, f.signExtend(i.register(Register.RAX, half(i)), i.width)));
define('CWD', (i, f) => {
  const wide = f.signExtend(i.register(Register.RAX, i.width), i.width === 64 ? 64 : 32);
  i.setRegister(Register.RDX, f.zeroExtend(f.shrS(wide, i.width === 64 ? 63 : 31), i.width));
});

define('XLAT', (i, f) => {
  const index = f.zeroExtend(i.register(Register.RAX, 8), 64);
  const offset = f.let(i.wrapAddress(f.add(i.register(Register.RBX, 64), index)));
  i.setRegister(Register.RAX, i.load(8, i.operandLinear(1, false, offset)));
});

/** Bytes in reverse order; 16, 32 or 64 bits. */
export function swapBytes(f: FunctionBuilder, value: Value): Value {
  const swap32 = (v: Value): Value => {
    const bound = f.let(v);
    const odd = f.arithmetic('rotl', f.and(bound, 0x00ff_00ff), 24);
    return f.let(f.or(odd, f.and(f.arithmetic('rotl', bound, 8), 0x00ff_00ff)));
  };
  if (value.width === 16) return f.zeroExtend(f.shrU(swap32(f.zeroExtend(value, 32)), 16), 16);
  if (value.width === 32) return swap32(value);
  const bound = f.let(value);
  const low = f.zeroExtend(swap32(f.zeroExtend(bound, 32)), 64);
  const high = f.zeroExtend(swap32(f.zeroExtend(f.shrU(bound, 32), 32)), 64);
  return f.or(f.shl(low, 32), high);
}
// The manual leaves 16 bits undefined; processors give zero.
define('BSWAP', (i, f) => i.write(0, i.width === 16 ? f.constant(16, 0) : swapBytes(f, i.read(0))));
define('MOVBE', (i, f) => i.write(0, swapBytes(f, i.read(1))));
