import assert from 'node:assert/strict';
import { decodeGhcbMsr } from '../../../engine/spec/ghcb-msr.js';

describe('GHCB MSR', () => {
  const cases: [value: bigint, name: string, fields: [string, bigint, string?][]][] = [
    [0x80d000n, 'GHCB GPA', [['GPA', 0x80d000n]]],
    [
      0x0002_0001_3300_0001n,
      'SEV information',
      [
        ['highest protocol version', 2n],
        ['lowest protocol version', 1n],
        ['C-bit position', 51n],
      ],
    ],
    [
      0x8000_001f_4000_0004n,
      'CPUID',
      [
        ['function', 0x8000_001fn],
        ['register', 1n, 'EBX'],
      ],
    ],
    [0xffff_ffff_ffff_f013n, 'register GHCB GPA', [['GFN', 0xf_ffff_ffff_ffffn, 'refused']]],
    [
      0x0020_0000_1234_5014n,
      'page state change',
      [
        ['operation', 2n, 'shared'],
        ['GFN', 0x12345n],
      ],
    ],
    [0x3081n, 'hypervisor features', [['features', 3n, 'SEV-SNP, AP creation']]],
    [
      0x2_1100n,
      'terminate',
      [
        ['reason set', 1n, 'Linux'],
        ['reason', 2n, 'PVALIDATE failed'],
      ],
    ],
  ];
  for (const [value, name, fields] of cases) {
    it(`decodes 0x${value.toString(16)}`, () => {
      const decoded = decodeGhcbMsr(value);
      assert.equal(decoded.name, name);
      assert.equal(decoded.defined, true);
      assert.deepEqual(
        decoded.fields.map((f) => (f.meaning === undefined ? [f.name, f.value] : [f.name, f.value, f.meaning])),
        fields,
      );
    });
  }

  it('says that a code is not defined', () => {
    assert.equal(decodeGhcbMsr(0x123_4fffn).name, 'vendor range');
    assert.equal(decodeGhcbMsr(0x999n).defined, false);
  });
});
