import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Vcpu } from '../../../../../engine/cpu/system/vcpu.js';
import { outcome, peek, poke, smallMachine } from '../small-machine.js';

const HLT = 0xf4;
const XMMEXCPT = { cr4: 0x400 };
/** ldmxcsr [3000]; stmxcsr [3004] */
const LDMXCSR = [0x0f, 0xae, 0x14, 0x25, 0, 0x30, 0, 0];
const STMXCSR = [0x0f, 0xae, 0x1c, 0x25, 4, 0x30, 0, 0];
const scalar = (opcode: number): number[] => [0xf2, 0x0f, opcode, 0xc1];
const [ADDSD, MULSD, DIVSD, SQRTSD] = [0x58, 0x59, 0x5e, 0x51].map(scalar);

const xmm = (v: Vcpu, n: number): DataView => {
  const bytes = v.registers.xmm(n);
  return new DataView(bytes.buffer, bytes.byteOffset, 16);
};

function calculate(mxcsr: number, code: readonly number[] = [], a = 1, b = 3) {
  const vcpu = smallMachine([...LDMXCSR, ...code, ...STMXCSR, HLT], XMMEXCPT);
  poke(vcpu, 0x3000, 4, BigInt(mxcsr));
  xmm(vcpu, 0).setFloat64(0, a, true);
  xmm(vcpu, 1).setFloat64(0, b, true);
  const end = outcome(vcpu);
  return { vcpu, end, result: xmm(vcpu, 0).getFloat64(0, true), mxcsr: Number(peek(vcpu, 0x3004, 4)) };
}

describe('MXCSR', () => {
  it('rounding control decides the last bit', () => {
    const thirds = [0x1f80, 0x3f80, 0x5f80, 0x7f80].map((m) => calculate(m, DIVSD).result);
    const third = 1 / 3;
    assert.deepEqual(thirds, [third, third, third + 2 ** -54, third]);
    assert.equal(calculate(0x3f80, DIVSD, -1).result, -third - 2 ** -54);
  });

  it('its flags are sticky, whichever way they came about', () => {
    const cases: readonly (readonly [readonly number[] | undefined, number, number, number])[] = [
      [DIVSD, 1, 4, 0],
      [DIVSD, 1, 3, 0x20],
      [DIVSD, 1, 0, 4],
      [DIVSD, 0, 0, 1],
      [SQRTSD, 0, -1, 1],
      [MULSD, 1e300, 1e300, 0x28],
      [MULSD, 1e-300, 1e-300, 0x30],
      [ADDSD, 1, 1e-310, 0x22],
    ];
    for (const [code, a, b, flags] of cases) {
      // PE set before: generated code does what it can.
      for (const before of [0, 0x20])
        assert.equal(calculate(0x1f80 | before, code, a, b).mxcsr, 0x1f80 | before | flags);
    }
  });

  it('generated code and TypeScript calculate the same', () => {
    fc.assert(
      fc.property(fc.constantFrom(ADDSD, MULSD, DIVSD, SQRTSD), fc.double(), fc.double(), (code, a, b) => {
        const [slow, fast] = [calculate(0x1f80, code, a, b), calculate(0x1fa0, code, a, b)];
        assert.ok(Object.is(slow.result, fast.result));
        assert.equal(slow.mxcsr | 0x20, fast.mxcsr);
      }),
      { numRuns: 30 },
    );
  });

  it('DAZ and FZ make zeros of denormals', () => {
    assert.equal(calculate(0x1fc0, ADDSD, 0, 1e-310).result, 0);
    assert.equal(calculate(0x1f80, ADDSD, 0, 1e-310).result, 1e-310);
    assert.deepEqual(
      [calculate(0x9f80, MULSD, 1e-300, 1e-10)].map(({ result, mxcsr }) => [result, mxcsr]),
      [[0, 0x9fb0]],
    );
  });

  it('an unmasked exception is #XF before anything is written, or #UD without OSXMMEXCPT', () => {
    const { end, result, vcpu } = calculate(0x1d80, DIVSD, 1, 0);
    assert.deepEqual([end, result], ['#19', 1]);
    assert.equal(vcpu.cpu.view.getUint32(0x500, true), 0x1d84);
    const without = smallMachine([...LDMXCSR, ...(DIVSD ?? []), HLT]);
    poke(without, 0x3000, 4, 0x1d80n);
    xmm(without, 0).setFloat64(0, 1, true);
    assert.equal(outcome(without), '#6');
  });

  it('FXSAVE after arithmetic has the flags', () => {
    const vcpu = smallMachine([...(DIVSD ?? []), 0x0f, 0xae, 0x04, 0x25, 0, 0x30, 0, 0, HLT]);
    xmm(vcpu, 0).setFloat64(0, 1, true);
    xmm(vcpu, 1).setFloat64(0, 3, true);
    assert.equal(outcome(vcpu), 'halt');
    assert.equal(peek(vcpu, 0x3000 + 24, 4), 0x1fa0n);
    assert.equal(peek(vcpu, 0x3000 + 28, 4), 0x2_ffffn);
  });

  it('MM lets operands be misaligned, but not those of plain moves', () => {
    const at = (code: readonly number[]): number[] => [...code, 0x04, 0x25, 8, 0x30, 0, 0];
    const addpd = at([0x66, 0x0f, 0x58]);
    const paddd = at([0x66, 0x0f, 0xfe]);
    const movaps = at([0x0f, 0x28]);
    for (const code of [addpd, paddd, movaps]) assert.equal(calculate(0x1fa0, code).end, '#13');
    for (const code of [addpd, paddd])
      for (const flag of [0, 0x20]) assert.equal(calculate(0x2_1f80 | flag, code).end, 'halt');
    assert.equal(calculate(0x2_1fa0, movaps).end, '#13');
  });
});

describe('SSE instructions in TypeScript', () => {
  const text = (v: Vcpu, n: number, value: string): void => {
    v.registers.xmm(n).fill(0);
    v.registers.xmm(n).set(new TextEncoder().encode(value));
  };
  const strings = (selector: number, a: string, b: string): readonly [index: number, flags: number] => {
    // pcmpistri xmm0, xmm1, selector
    const vcpu = smallMachine([0x66, 0x0f, 0x3a, 0x63, 0xc1, selector, HLT]);
    text(vcpu, 0, a);
    text(vcpu, 1, b);
    assert.equal(outcome(vcpu), 'halt');
    return [vcpu.registers.get32(1), vcpu.registers.flags & 0x8c1];
  };
  it('PCMPISTRI finds characters, ranges, differences and parts', () => {
    const [CF, ZF, SF, OF] = [1, 0x40, 0x80, 0x800];
    assert.deepEqual(strings(0x00, 'xyz', 'hello, z'), [7, CF | ZF | SF]);
    assert.deepEqual(strings(0x04, 'az', 'ABCdef'), [3, CF | ZF | SF]);
    assert.deepEqual(strings(0x18, 'same text', 'same test'), [7, CF | ZF | SF]);
    assert.deepEqual(strings(0x0c, 'lo', 'hello lo'), [3, CF | ZF | SF]);
    assert.deepEqual(strings(0x4c, 'lo', 'hello lo'), [6, CF | ZF | SF]);
    assert.deepEqual(strings(0x00, 'q', 'abcdefghijklmnop'), [16, SF]);
    assert.deepEqual(strings(0x00, 'a', 'a'), [0, CF | ZF | SF | OF]);
  });

  const packed = (code: readonly number[], a: readonly number[], b: readonly number[]): number[] => {
    const vcpu = smallMachine([...code, HLT]);
    for (const [n, value] of a.entries()) xmm(vcpu, 0).setFloat32(4 * n, value, true);
    for (const [n, value] of b.entries()) xmm(vcpu, 1).setFloat32(4 * n, value, true);
    assert.equal(outcome(vcpu), 'halt');
    return [0, 1, 2, 3].map((n) => xmm(vcpu, 0).getFloat32(4 * n, true));
  };
  it('DPPS adds the products that the immediate selects', () => {
    assert.deepEqual(packed([0x66, 0x0f, 0x3a, 0x40, 0xc1, 0x71], [1, 2, 3, 4], [10, 20, 30, 40]), [140, 0, 0, 0]);
    assert.deepEqual(
      packed([0x66, 0x0f, 0x3a, 0x40, 0xc1, 0xff], [1, 2, 3, 4], [10, 20, 30, 40]),
      [300, 300, 300, 300],
    );
  });

  it('RCPPS and RSQRTPS are within 1.5 × 2^-12, and denormals are zeros', () => {
    const limit = 1.5 * 2 ** -12;
    fc.assert(
      fc.property(fc.float({ min: Math.fround(1e-30), max: Math.fround(1e30), noNaN: true }), (x) => {
        const [reciprocal = 0] = packed([0x0f, 0x53, 0xc1], [], [x, x, x, x]);
        const [root = 0] = packed([0x0f, 0x52, 0xc1], [], [x, x, x, x]);
        assert.ok(Math.abs(reciprocal * x - 1) <= limit && Math.abs(root * root * x - 1) <= 2 * limit);
      }),
      { numRuns: 50 },
    );
    assert.deepEqual(packed([0x0f, 0x53, 0xc1], [], [0, -0, 1e-40, 3e38]), [Infinity, -Infinity, Infinity, 0]);
    assert.deepEqual(packed([0x0f, 0x52, 0xc1], [], [0, -0, -1, Infinity]), [Infinity, -Infinity, Number.NaN, 0]);
  });
});
