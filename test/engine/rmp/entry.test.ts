import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Gpa } from '../../../engine/address.js';
import { decodeEntry, encodeEntry, HYPERVISOR_ENTRY, type RmpEntry } from '../../../engine/rmp/entry.js';

const entry = (fields: Partial<RmpEntry>): RmpEntry => ({ ...HYPERVISOR_ENTRY, ...fields });

function qword0(e: RmpEntry): bigint {
  const raw = new DataView(new ArrayBuffer(16));
  encodeEntry(e, raw, 0);
  return raw.getBigUint64(0, true);
}

describe('RMP entry', () => {
  // Values seen on real machines: AMDESE/AMDSEV issue 245.
  const seen: [string, RmpEntry, bigint][] = [
    ['ordinary firmware-owned page', entry({ assigned: true, immutable: true, lock: true }), 0x8000000000000005n],
    [
      'head of a partly firmware-owned 2M region',
      entry({ assigned: true, immutable: true, lock: true, subPageCount: 255 }),
      0x80000000000007fdn,
    ],
  ];
  for (const [name, e, raw] of seen) it(`encodes an ${name}`, () => assert.equal(qword0(e), raw));

  it('puts GPA, ASID, VMSA and Validated where Linux reads them', () => {
    const raw = qword0(
      entry({ assigned: true, gpa: 0xffff_ffff_f000 as Gpa, asid: 0x155, vmsa: true, validated: true }),
    );
    assert.equal((raw >> 12n) & ((1n << 39n) - 1n), 0xf_ffff_ffffn);
    assert.equal((raw >> 51n) & 0x3ffn, 0x155n);
    assert.equal((raw >> 61n) & 3n, 3n);
  });

  it('survives encoding and decoding', () => {
    fc.assert(
      fc.property(
        fc.record(
          {
            assigned: fc.boolean(),
            pageSize2M: fc.boolean(),
            immutable: fc.boolean(),
            subPageCount: fc.integer({ min: 0, max: 511 }),
            gpa: fc.integer({ min: 0, max: 2 ** 39 - 1 }).map((n) => (n * 4096) as Gpa),
            asid: fc.integer({ min: 0, max: 1023 }),
            vmsa: fc.boolean(),
            validated: fc.boolean(),
            lock: fc.boolean(),
            vmpl: fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)),
          },
          { noNullPrototype: true },
        ),
        (e) => {
          const raw = new DataView(new ArrayBuffer(32));
          encodeEntry(e, raw, 16);
          assert.deepEqual(decodeEntry(raw, 16), e);
        },
      ),
    );
  });
});
