import assert from 'node:assert/strict';
import fc from 'fast-check';
import { documentKind } from '../../../engine/launch/document-kind.js';
import { createLineIndex } from '../../../engine/launch/text.js';

describe('line index', () => {
  it('knows LF, CR LF and CR', () => {
    const index = createLineIndex('a\nbc\r\nd\re');
    assert.equal(index.lineCount, 4);
    assert.deepEqual(index.positionAt(3), { line: 1, character: 1 });
    assert.deepEqual(index.positionAt(6), { line: 2, character: 0 });
    assert.deepEqual(index.positionAt(999), { line: 3, character: 1 });
    assert.equal(index.offsetAt({ line: 3, character: 0 }), 8);
    assert.equal(index.offsetAt({ line: 9, character: 9 }), 9);
  });

  it('converts every offset there and back', () => {
    const texts = fc.string({ unit: fc.constantFrom('a', '\n', '\r', 'é', '𝄞') });
    fc.assert(
      fc.property(texts, (text) => {
        const index = createLineIndex(text);
        for (let i = 0; i <= text.length; i++) assert.equal(index.offsetAt(index.positionAt(i)), i);
      }),
    );
  });
});

describe('document kind', () => {
  for (const [path, kind] of [
    ['/a/guest.snp.yaml', 'manifest'],
    ['guest.snp.yml', 'manifest'],
    ['C:\\x\\guest.SNP.JSON', 'manifest'],
    ['strict.snp-policy.yaml', 'policy'],
    ['strict.snp-policy.json', 'policy'],
    ['snp.yaml', undefined],
    ['guest.yaml', undefined],
    ['guest.snp.yaml.bak', undefined],
  ] as const)
    it(`${path} is ${kind ?? 'neither'}`, () => assert.equal(documentKind(path), kind));
});
