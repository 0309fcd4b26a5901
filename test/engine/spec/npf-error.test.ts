import assert from 'node:assert/strict';
import { decodeNpfError, NPF, NPF_ERROR_BITS, npfAccessBits } from '../../../engine/spec/npf-error.js';

describe('NPF error code', () => {
  it('names the bits', () => {
    const { fields, unknown } = decodeNpfError(0x5_8000_0006n | (1n << 40n));
    assert.deepEqual(
      fields.filter((f) => f.value).map((f) => f.name),
      ['W', 'U', 'RMP', 'final', 'ENC'],
    );
    assert.equal(unknown, 1n << 40n);
  });

  it('has the same bits as numbers', () => {
    const names: Record<string, string> = { final: 'FINAL', walk: 'WALK' };
    const expected = NPF_ERROR_BITS.filter((b) => b.bit < 63).map((b) => [names[b.name] ?? b.name, 2 ** b.bit]);
    assert.deepEqual(Object.entries(NPF), expected);
  });

  const accesses: [kind: 'read' | 'write' | 'execute', walk: boolean, encrypted: boolean, expected: number][] = [
    ['read', false, false, 0x1_0000_0004],
    ['read', false, true, 0x5_0000_0004],
    ['write', false, false, 0x1_0000_0006],
    ['write', false, true, 0x5_0000_0006],
    ['execute', false, false, 0x5_0000_0014],
    ['read', true, false, 0x6_0000_0006],
    ['write', true, true, 0x6_0000_0006],
  ];
  for (const [kind, walk, encrypted, expected] of accesses)
    it(`describes a ${encrypted ? 'private' : 'shared'} ${kind}${walk ? ' of the walk' : ''}`, () =>
      assert.equal(npfAccessBits({ kind, walk, encrypted }).toString(16), expected.toString(16)));

  it('reads the combinations that KVM tells apart', () => {
    const cases: [value: bigint, text: RegExp][] = [
      [0x4_0000_0000n, /not mapped yet.*MEMORY_FAULT if it is shared/],
      [0x4n, /Shared page that is not mapped yet/],
      [0x4_8000_0007n, /used a page as private/],
      [0x8000_0007n, /used a page as shared/],
      [0xc_8000_0007n, /PSMASH/],
      [0x14_8000_0007n, /VMPL/],
      [0xdn, /MMIO/],
      [0x7n, /does not permit/],
    ];
    for (const [value, text] of cases) assert.match(decodeNpfError(value).reading, text, value.toString(16));
  });
});
