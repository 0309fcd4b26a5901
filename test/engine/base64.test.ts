import assert from 'node:assert/strict';
import fc from 'fast-check';
import { fromBase64, toBase64 } from '../../engine/base64.js';

describe('base64', () => {
  it('is that of Node', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = Buffer.from(bytes).toString('base64');
        assert.equal(toBase64(bytes), text);
        assert.deepEqual(fromBase64(text), bytes);
        assert.deepEqual(fromBase64(text.replace(/=+$/, '')), bytes);
      }),
    );
  });

  it('refuses what is none', () => {
    for (const text of ['A', 'AAAAA', 'AA=A', '!', 'AA AA', 'AA-_', '==='])
      assert.equal(fromBase64(text), undefined, text);
  });
});
