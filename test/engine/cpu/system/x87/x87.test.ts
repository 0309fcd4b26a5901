import assert from 'node:assert/strict';
import { X87Registers } from '../../../../../engine/cpu/system/x87/registers.js';
import { outcome, peek, poke, type SmallMachineOptions, smallMachine } from '../small-machine.js';

/** Documented results, without a processor to compare with; see test/oracle for everything else. */

const DATA = 0x3000;
const FNINIT = [0xdb, 0xe3];
const HLT = 0xf4;
/** Opcode and ModRM.reg with the operand at DATA + offset. */
const at = (opcode: number, reg: number, offset = 0, bits = 64): number[] =>
  bits === 64
    ? [opcode, 0x04 | (reg << 3), 0x25, offset, DATA >> 8, 0, 0]
    : [opcode, 0x05 | (reg << 3), offset, DATA >> 8, 0, 0];
const NE = { cr0: 0x20 };

const start = (code: readonly number[], options: SmallMachineOptions = NE) =>
  smallMachine([...FNINIT, ...code, HLT], options);
const run = (code: readonly number[], options?: SmallMachineOptions) => {
  const vcpu = start(code, options);
  return { vcpu, end: outcome(vcpu), r: new X87Registers(vcpu.cpu.view) };
};
const doubleAt = (vcpu: ReturnType<typeof start>, offset = 0): number =>
  vcpu.cpu.view.getFloat64(vcpu.cpu.guestStart + DATA + offset, true);

const [FLD1, FLDL2T, FLDPI, FLDZ] = [
  [0xd9, 0xe8],
  [0xd9, 0xe9],
  [0xd9, 0xeb],
  [0xd9, 0xee],
];
const FSTP64 = at(0xdd, 3);

describe('x87 unit', () => {
  const results: readonly (readonly [string, readonly number[], number])[] = [
    ['FLDPI', [...FLDPI], Math.PI],
    ['FLD1; FLD1; FADDP; FSQRT', [...FLD1, ...FLD1, 0xde, 0xc1, 0xd9, 0xfa], Math.SQRT2],
    ['FLD1; FLDPI; FDIVP', [...FLD1, ...FLDPI, 0xde, 0xf9], 1 / Math.PI],
    ['FLD1; FLDPI; FSUBP', [...FLD1, ...FLDPI, 0xde, 0xe9], 1 - Math.PI],
    ['FLD1; FLD1; FPATAN', [...FLD1, ...FLD1, 0xd9, 0xf3], Math.PI / 4],
    ['FLD1; FSIN', [...FLD1, 0xd9, 0xfe], Math.sin(1)],
    ['FLD1; FCOS', [...FLD1, 0xd9, 0xff], Math.cos(1)],
    ['FLD1; FPTAN; FSTP ST(0)', [...FLD1, 0xd9, 0xf2, 0xdd, 0xd8], Math.tan(1)],
    ['FLD1; FLDPI; FYL2X', [...FLD1, ...FLDPI, 0xd9, 0xf1], Math.log2(Math.PI)],
    ['FLD1; FCHS; F2XM1', [...FLD1, 0xd9, 0xe0, 0xd9, 0xf0], -0.5],
    ['FLD1; FLDPI; FPREM1', [...FLD1, ...FLDPI, 0xd9, 0xf5], 0.14159265358979323],
    ['FLDPI; FLDPI; FSCALE', [...FLDPI, ...FLDPI, 0xd9, 0xfd], Math.PI * 8],
    ['FLDPI; FRNDINT', [...FLDPI, 0xd9, 0xfc], 3],
  ];
  for (const [name, code, expected] of results) {
    it(`${name} gives ${expected}`, () => {
      const { vcpu, end } = run([...code, ...FSTP64]);
      assert.equal(end, 'halt');
      assert.equal(doubleAt(vcpu), expected);
    });
  }

  it('integers and packed decimals of 18 digits go in and out unchanged', () => {
    for (const value of [0n, 1n, -1n, 999_999_999_999_999_999n, -123_456_789_012_345_678n]) {
      // fild m64; fbstp m80; fbld m80; fistp m64
      const vcpu = start([...at(0xdf, 5), ...at(0xdf, 6, 16), ...at(0xdf, 4, 16), ...at(0xdf, 7, 32)]);
      poke(vcpu, DATA, 8, value);
      assert.equal(outcome(vcpu), 'halt');
      assert.equal(BigInt.asIntN(64, peek(vcpu, DATA + 32, 8)), value);
      const digits = (peek(vcpu, DATA + 24, 1) << 64n) | peek(vcpu, DATA + 16, 8);
      assert.equal(digits.toString(16), (value < 0n ? -value : value).toString());
      assert.equal(peek(vcpu, DATA + 25, 1), value < 0n ? 0x80n : 0n);
    }
  });

  it('rounding control decides the last bit of a constant', () => {
    const constant = (control: number): bigint => {
      // fldcw; fldpi; fstp m80
      const vcpu = start([...at(0xd9, 5), ...FLDPI, ...at(0xdb, 7, 16)]);
      poke(vcpu, DATA, 2, BigInt(control));
      assert.equal(outcome(vcpu), 'halt');
      return peek(vcpu, DATA + 16, 8);
    };
    assert.deepEqual(
      [0x37f, 0x77f, 0xb7f, 0xf7f].map((control) => constant(control) & 0xfn),
      [5n, 4n, 5n, 4n],
    );
  });

  it('precision control rounds to 24 or 53 bits', () => {
    const third = (control: number): bigint => {
      // fldcw; fld1; fld l2t; fdivp; fstp m80
      const vcpu = start([...at(0xd9, 5), ...FLD1, ...FLDL2T, 0xde, 0xf9, ...at(0xdb, 7, 16)]);
      poke(vcpu, DATA, 2, BigInt(control));
      assert.equal(outcome(vcpu), 'halt');
      return peek(vcpu, DATA + 16, 8);
    };
    assert.equal(third(0x7f) & ((1n << 40n) - 1n), 0n);
    assert.equal(third(0x27f) & ((1n << 11n) - 1n), 0n);
    assert.notEqual(third(0x37f) & ((1n << 11n) - 1n), 0n);
  });

  const DIVIDE_BY_ZERO = [...FLD1, ...FLDZ, 0xde, 0xf9];
  /** fldcw with ZM clear */
  const unmasked = (code: readonly number[], options: SmallMachineOptions = NE) => {
    const vcpu = start([...at(0xd9, 5), ...DIVIDE_BY_ZERO, ...code], options);
    poke(vcpu, DATA, 2, 0x37bn);
    return { vcpu, end: outcome(vcpu), r: new X87Registers(vcpu.cpu.view) };
  };

  it('an unmasked exception is #MF at the next instruction that waits, with the operands still there', () => {
    const { r, end } = unmasked([0x90, ...FLD1]);
    assert.equal(end, '#16');
    assert.equal(r.status & 0x80ff, 0x8084);
    assert.deepEqual([r.top, r.isEmpty(0), r.isEmpty(1)], [6, false, false]);
    assert.equal(unmasked([0x9b]).end, '#16');
    assert.equal(unmasked([0xdf, 0xe0]).end, 'halt', 'FNSTSW does not wait');
    assert.equal(unmasked([0xdb, 0xe2, ...FLD1]).end, 'halt', 'FNCLEX takes the exception away');
    assert.match(unmasked(FLD1, {}).end, /as an external interrupt/);
  });

  it('the environment tells where the exception was, in all formats', () => {
    // The division is the last of the three.
    const wide = unmasked(at(0xd9, 6, 64));
    const address = 0x1000 + 2 + 7 + 4;
    assert.equal(wide.end, 'halt');
    assert.equal(peek(wide.vcpu, DATA + 64, 4), 0xffff_037bn);
    assert.equal(peek(wide.vcpu, DATA + 72, 2), 0x1fffn, 'R6 zero, R7 valid');
    assert.equal(peek(wide.vcpu, DATA + 76, 4), BigInt(address));
    assert.equal(peek(wide.vcpu, DATA + 80, 4), 0x06f9_0008n);
    assert.equal(wide.r.control, 0x37f | 0x40, 'FNSTENV masks all');
    const narrow = unmasked([0x66, ...at(0xd9, 6, 64)]);
    assert.equal(peek(narrow.vcpu, DATA + 64, 8), (BigInt(address) << 48n) | (0x1fffn << 32n) | 0xb084_037bn);
    // In real mode there is one linear address instead of selector and offset.
    const real = smallMachine([...FNINIT, ...at(0xd9, 5, 0, 32), ...DIVIDE_BY_ZERO, ...at(0xd9, 6, 64, 32), HLT], {
      bits: 32,
      ...NE,
    });
    real.state.cr0 &= ~1;
    real.modeChanged();
    poke(real, DATA, 2, 0x37bn);
    assert.equal(outcome(real), 'halt');
    const linear = 8 * 16 + 0x1000 + 2 + 6 + 4;
    assert.deepEqual([peek(real, DATA + 76, 2), peek(real, DATA + 80, 4)], [BigInt(linear), 0x6f9n]);
  });

  it('FNSAVE and FRSTOR keep the registers, in 16 and 32 bits', () => {
    for (const prefix of [[], [0x66]]) {
      const code = [...FLDPI, ...FLD1, ...prefix, ...at(0xdd, 6, 64), ...prefix, ...at(0xdd, 4, 64), ...FSTP64];
      const { vcpu, r } = run([...code, ...at(0xdd, 3, 8)]);
      assert.deepEqual([doubleAt(vcpu), doubleAt(vcpu, 8)], [1, Math.PI]);
      assert.equal(r.tag, 0);
    }
  });

  it('a stack fault tells overflow from underflow by C1', () => {
    const overflow = run(new Array(9).fill(FLD1).flat());
    assert.equal(overflow.r.status & 0x241, 0x241);
    assert.equal(overflow.r.raw(0).signAndExponent, 0xffff);
    const underflow = run([0xd9, 0xfa]);
    assert.equal(underflow.r.status & 0x241, 0x41);
  });

  it('CR0.EM and CR0.TS keep it from being used', () => {
    for (const bit of [4, 8]) assert.equal(run([], { cr0: bit }).end, '#7');
    // FWAIT: only with MP and TS together.
    assert.equal(outcome(smallMachine([0x9b, HLT], { cr0: 8 })), 'halt');
    assert.equal(outcome(smallMachine([0x9b, HLT], { cr0: 0xa })), '#7');
  });
});
