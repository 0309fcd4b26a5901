import assert from 'node:assert/strict';
import { decodeExitCode } from '../../../engine/spec/exit-code.js';

describe('SVM exit code', () => {
  const cases: [value: bigint, name: string, kind: string][] = [
    [0x10n, 'WRITE_CR0', 'non-automatic'],
    [0x4en, 'EXCP_BASE + 14', 'non-automatic'],
    [0x72n, 'CPUID', 'non-automatic'],
    [0x78n, 'HLT', 'automatic'],
    [0x7bn, 'IOIO', 'non-automatic'],
    [0x7fn, 'SHUTDOWN', 'automatic'],
    [0x94n, 'CR4_WRITE_TRAP', 'automatic'],
    [0x400n, 'NPF', 'automatic'],
    [0x403n, 'VMGEXIT', 'automatic'],
    [0x404n, 'PAGE_NOT_VALIDATED', 'non-automatic'],
    [0x8000_0010n, 'PSC', 'ghcb'],
    [0x8000_fffen, 'TERM_REQUEST', 'ghcb'],
    [-1n, 'INVALID', 'failure'],
    [0xffff_ffffn, 'INVALID', 'failure'],
    [0xffff_ffff_ffff_fffen, 'BUSY', 'failure'],
  ];
  for (const [value, name, kind] of cases) {
    it(`names ${value.toString(16)}`, () => {
      const code = decodeExitCode(value);
      assert.equal(code?.name, name);
      assert.equal(code?.class, kind);
    });
  }

  it('knows no other codes', () => {
    for (const value of [0xb0n, 0x3ffn, 0x1_0000n, 0x8000_0fffn, -9n]) assert.equal(decodeExitCode(value), undefined);
  });
});
