import assert from 'node:assert/strict';
import fc from 'fast-check';
import { measureImage } from '../../../../engine/launch/measure.js';
import { guidBytes, guidText, OVMF_GUID } from '../../../../engine/launch/ovmf/guid.js';
import { parseOvmf } from '../../../../engine/launch/ovmf/image.js';
import { recogniseFile } from '../../../../engine/launch/ovmf/recognise.js';
import { hashTableOffset } from '../../../../engine/launch/ovmf/updates.js';
import { TINY_SECTIONS, tinyOvmf } from '../../../support/tiny-ovmf.js';

/** Offset of the bytes of a GUID, from the end of the image. */
function find(image: Uint8Array, guid: string): number {
  return Buffer.from(image).lastIndexOf(guidBytes(guid));
}

const checks = (bytes: Uint8Array): string[] => parseOvmf(bytes, 'a.fd').faults.map((f) => f.check);

describe('OVMF image', () => {
  it('is read', () => {
    const { image, faults } = parseOvmf(tinyOvmf({ hashTable: { base: 0x81_0c00, size: 0x400 } }), 'a.fd');
    assert.deepEqual(faults, []);
    assert.equal(image.base, 0xffff_0000);
    assert.equal(image.resetEip, 0x80_b004);
    assert.deepEqual(image.hashTable, { base: 0x81_0c00, size: 0x400 });
    assert.deepEqual(image.sections, TINY_SECTIONS);
  });

  it('is not changed by being read, not even as a Buffer', () => {
    const bytes = Buffer.from(tinyOvmf({ hashTable: { base: 0x81_0c00, size: 0x400 } }));
    const before = Buffer.copyBytesFrom(bytes);
    assert.equal(parseOvmf(bytes, 'a.fd').image.entries.length, 3);
    assert.ok(bytes.equals(before));
  });

  const broken: readonly (readonly [string, string, (image: Uint8Array) => void])[] = [
    ['an entry shorter than its header', 'image-entry-size', (i) => i.set([4, 0], find(i, OVMF_GUID.sevEsReset) - 2)],
    ['an entry longer than the table', 'image-entry-size', (i) => i.set([0, 9], find(i, OVMF_GUID.sevEsReset) - 2)],
    ['a table shorter than its footer', 'image-footer-size', (i) => i.set([2, 0], find(i, OVMF_GUID.footer) - 2)],
    ['metadata outside', 'image-metadata-offset', (i) => i.set([0, 0, 0, 9], find(i, OVMF_GUID.sevMetadata) - 6)],
    [
      'metadata at the very end',
      'image-metadata-offset',
      (i) => i.set([4, 0, 0, 0], find(i, OVMF_GUID.sevMetadata) - 6),
    ],
    ['a wrong signature', 'image-metadata-signature', (i) => i.set([0x57], i.length - 0x800 + 3)],
    ['version 2', 'image-metadata-version', (i) => i.set([2], i.length - 0x800 + 8)],
    ['too many sections', 'image-metadata-truncated', (i) => i.set([0xff, 0xff], i.length - 0x800 + 12)],
  ];
  for (const [name, check, damage] of broken)
    it(`with ${name} is ${check}`, () => {
      const image = tinyOvmf();
      damage(image);
      assert.deepEqual(checks(image), [check]);
    });

  for (const [name, check, options] of [
    ['no section for hashes', 'image-no-hashes-section', { hashTable: { base: 0x81_0c00, size: 0x400 } }],
    ['no hash table entry', 'image-no-hash-area', { sections: [{ base: 0x81_0000, size: 0x1000, type: 0x10 }] }],
    [
      'an empty hash area',
      'image-no-hash-area',
      { sections: [{ base: 0x81_0000, size: 0x1000, type: 0x10 }], hashTable: { base: 0, size: 0 } },
    ],
    [
      'a hash area over the end of the page',
      'image-hashes-cross-page',
      { sections: [{ base: 0x81_0000, size: 0x1000, type: 0x10 }], hashTable: { base: 0x81_0f60, size: 0x400 } },
    ],
    [
      'two pages for hashes',
      'image-hashes-section-size',
      { sections: [{ base: 0x81_0000, size: 0x2000, type: 0x10 }], hashTable: { base: 0x81_0c00, size: 0x400 } },
    ],
  ] as const)
    it(`takes no kernel with ${name}`, () => {
      const offset = hashTableOffset(parseOvmf(tinyOvmf(options)).image);
      assert.equal(offset.ok ? 'ok' : offset.fault.check, check);
    });

  it('never throws, whatever the bytes', () => {
    const image = tinyOvmf({ size: 0x1000, hashTable: { base: 0x81_0c00, size: 0x400 } });
    const place = fc.integer({ min: 0x700, max: 0xfff });
    fc.assert(
      fc.property(fc.array(fc.tuple(place, fc.nat(255)), { maxLength: 6 }), fc.nat(0x1000), (changes, cut) => {
        const copy = image.slice(cut % 3 === 0 ? cut : 0);
        for (const [at, value] of changes) copy[at % Math.max(1, copy.length)] = value;
        checks(copy);
        recogniseFile(copy);
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        checks(bytes);
        recogniseFile(bytes);
      }),
    );
  });
});

describe('files that are no OVMF image', () => {
  const nvStore = (length: number): Uint8Array => {
    const bytes = new Uint8Array(length).fill(0xff);
    bytes.fill(0, 0, 16);
    bytes.set(guidBytes('fff12b8d-7696-4c8b-a985-2747075b4f50'), 16);
    new DataView(bytes.buffer).setBigUint64(32, BigInt(length), true);
    return bytes;
  };
  for (const [what, bytes] of [
    [/empty/, new Uint8Array()],
    [/too small/, new Uint8Array(16)],
    [/VARS/, nvStore(0x2_0000)],
    [/qcow2/, Uint8Array.from([0x51, 0x46, 0x49, 0xfb, ...new Uint8Array(5000)])],
    [/IGVM/, Uint8Array.from([0x49, 0x47, 0x56, 0x4d, ...new Uint8Array(5000)])],
    [/gzip/, Uint8Array.from([0x1f, 0x8b, ...new Uint8Array(5000)])],
    [/no reset vector/, new Uint8Array(0x1_0000)],
  ] as const)
    it(`recognises: ${recogniseFile(bytes)}`, () => assert.match(recogniseFile(bytes), what));

  it('says why an old image has no reset block', () => {
    const options = { vcpus: 1, vcpuType: 'EPYC-v4', guestFeatures: 1n, vmmType: 'qemu' } as const;
    const result = measureImage({ ovmf: nvStore(0x1000), ovmfPath: 'OVMF_VARS.fd', ...options });
    assert.ok(!result.ok);
    assert.equal(result.fault.check, 'image-no-reset-block');
    assert.match(result.fault.cause?.message ?? '', /variable store \(VARS\)/);
  });

  it('writes GUIDs as they are read', () => {
    for (const guid of Object.values(OVMF_GUID)) assert.equal(guidText(guidBytes(guid)), guid);
  });
});
