import assert from 'node:assert/strict';
import { decodeNpfError } from '../../../engine/spec/npf-error.js';

describe('NPF error code', () => {
  it('names the bits', () => {
    const { fields, unknown } = decodeNpfError(0x5_8000_0006n | (1n << 40n));
    assert.deepEqual(
      fields.filter((f) => f.value).map((f) => f.name),
      ['W', 'U', 'RMP', 'final', 'ENC'],
    );
    assert.equal(unknown, 1n << 40n);
  });

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
