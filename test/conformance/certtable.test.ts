import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import {
  CERTIFICATE_GUID,
  certificateName,
  encodeCertificateTable,
  parseCertificateTable,
} from '../../engine/asp/attestation/certificate-table.js';
import { toHex } from '../../engine/bytes.js';
import { describeVectors, readVector, readVectorJson } from '../support/vectors.js';

interface Vector {
  readonly file: string;
  readonly sha256: string;
  readonly size: number;
  readonly error?: string;
  readonly entries?: readonly {
    readonly guid: string;
    readonly name: string;
    readonly offset: number;
    readonly length: number;
    readonly sha256: string;
  }[];
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describeVectors('certificate table vectors', () => {
  const vectors = readVectorJson('certtable.json') as readonly Vector[];
  it('are there', () => assert.ok(vectors.length >= 4));
  for (const vector of vectors) {
    const bytes = new Uint8Array(readVector(`vectors/${vector.file}`));
    it(`${vector.file} is ${vector.error ? 'refused' : 'read as others read it'}`, () => {
      assert.equal(sha256(bytes), vector.sha256);
      const parsed = parseCertificateTable(bytes);
      if (vector.error) {
        assert.equal(vector.error, 'certificate table entry 0 is outside the blob');
        assert.ok(!parsed.ok);
        assert.equal(parsed.fault.check, 'image-certificate-table-entry');
        assert.equal(parsed.fault.operands['entry'], 0);
        return;
      }
      assert.ok(parsed.ok);
      const found = parsed.value.map(({ guid, offset, data }) => ({
        guid,
        name: certificateName(guid),
        offset,
        length: data.length,
        sha256: sha256(data),
      }));
      assert.deepEqual(found, vector.entries);
      assert.equal(toHex(encodeCertificateTable(parsed.value)), toHex(bytes));
    });
  }
});

describe('a certificate table', () => {
  it('comes back as it was', () => {
    const entry = fc.record({
      guid: fc.constantFrom(...Object.values(CERTIFICATE_GUID)),
      data: fc.uint8Array({ maxLength: 100 }),
    });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), (entries) => {
        const parsed = parseCertificateTable(encodeCertificateTable(entries));
        assert.ok(parsed.ok);
        assert.deepEqual(
          parsed.value.map(({ guid, data }) => ({ guid, data: [...data] })),
          entries.map(({ guid, data }) => ({ guid, data: [...data] })),
        );
      }),
    );
  });

  it('is never read beyond its bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const parsed = parseCertificateTable(bytes);
        if (!parsed.ok) assert.match(parsed.fault.check, /^image-certificate-table-/);
        else for (const { offset, data } of parsed.value) assert.ok(offset + data.length <= bytes.length);
      }),
    );
  });

  it('needs its empty entry', () => {
    const table = encodeCertificateTable([{ guid: CERTIFICATE_GUID.ARK, data: new Uint8Array(0) }]);
    const parsed = parseCertificateTable(table.subarray(0, 24));
    assert.ok(!parsed.ok);
    // The entry names offset 48, at which the empty entry would end.
    assert.equal(parsed.fault.check, 'image-certificate-table-entry');
    const ended = table.slice(0, 24);
    ended[16] = 24;
    const cut = parseCertificateTable(ended);
    assert.equal(cut.ok ? '' : cut.fault.check, 'image-certificate-table-end');
    const none = parseCertificateTable(new Uint8Array(0));
    assert.equal(none.ok ? '' : none.fault.check, 'image-certificate-table-end');
  });
});
