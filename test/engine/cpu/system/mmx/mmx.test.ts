import assert from 'node:assert/strict';
import { X87Registers } from '../../../../../engine/cpu/system/x87/registers.js';
import { outcome, smallMachine } from '../small-machine.js';

const HLT = 0xf4;
/** movabs rax; movq mm, rax */
const load = (register: number, value: bigint): number[] => [
  0x48,
  0xb8,
  ...Array.from({ length: 8 }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn)),
  ...[0x48, 0x0f, 0x6e, 0xc0 | (register << 3)],
];
/** movq rax, mm0 */
const STORE = [0x48, 0x0f, 0x7e, 0xc0];
const [A, B] = [0x7fff_8000_0001_ff02n, 0x0001_ffff_0002_0103n];

describe('MMX', () => {
  const cases: readonly (readonly [string, readonly number[], bigint])[] = [
    ['PADDW', [0x0f, 0xfd, 0xc1], 0x8000_7fff_0003_0005n],
    ['PADDSW', [0x0f, 0xed, 0xc1], 0x7fff_8000_0003_0005n],
    ['PADDUSB', [0x0f, 0xdc, 0xc1], 0x7fff_ffff_0003_ff05n],
    ['PMULHW', [0x0f, 0xe5, 0xc1], 0xfffen],
    ['PMADDWD', [0x0f, 0xf5, 0xc1], 0x0000_ffff_fffe_ff08n],
    ['PACKSSWB', [0x0f, 0x63, 0xc1], 0x01ff_027f_7f80_0180n],
    ['PUNPCKHBW', [0x0f, 0x68, 0xc1], 0x007f_01ff_ff80_ff00n],
    ['PSHUFW', [0x0f, 0x70, 0xc1, 0x1b], 0x0103_0002_ffff_0001n],
    ['PSLLQ', [0x0f, 0x73, 0xf0, 4], 0xfff8_0000_001f_f020n],
    ['PALIGNR', [0x0f, 0x3a, 0x0f, 0xc1, 2], 0xff02_0001_ffff_0002n],
  ];
  for (const [name, code, expected] of cases) {
    it(name, () => {
      const vcpu = smallMachine([...load(0, A), ...load(1, B), ...code, ...STORE, HLT]);
      assert.equal(outcome(vcpu), 'halt');
      assert.equal(vcpu.registers.get(0).toString(16), expected.toString(16));
    });
  }

  it('uses the significands of the x87 registers, and EMMS gives them back', () => {
    // fninit; fld1
    const vcpu = smallMachine([0xdb, 0xe3, 0xd9, 0xe8, ...load(2, A), HLT, 0x0f, 0x77, HLT]);
    assert.equal(outcome(vcpu), 'halt');
    const r = new X87Registers(vcpu.cpu.view);
    assert.deepEqual([r.top, r.tag], [0, 0xff]);
    assert.deepEqual(r.raw(2), { significand: A, signAndExponent: 0xffff });
    assert.deepEqual(r.raw(7), { significand: 1n << 63n, signAndExponent: 0x3fff });
    assert.equal(outcome(vcpu), 'halt');
    assert.equal(r.tag, 0);
  });

  it('is #UD with CR0.EM and #NM with CR0.TS', () => {
    assert.equal(outcome(smallMachine([0x0f, 0xef, 0xc0], { cr0: 4 })), '#6');
    assert.equal(outcome(smallMachine([0x0f, 0xef, 0xc0], { cr0: 8 })), '#7');
  });
});
