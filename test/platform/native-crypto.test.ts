import assert from 'node:assert/strict';
import fc from 'fast-check';
import { portableCrypto } from '../../engine/crypto.js';
import { nativeCrypto } from '../../platform/native-crypto.js';

describe('native crypto', () => {
  it('gives the hashes of the portable implementation', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(16), (bytes, offset) => {
        const data = bytes.subarray(Math.min(offset, bytes.length));
        assert.deepEqual(nativeCrypto.sha384(data), portableCrypto.sha384(data));
        assert.deepEqual(nativeCrypto.sha256(data), portableCrypto.sha256(data));
      }),
    );
  });

  it('encrypts as the portable implementation does', () => {
    const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    // With 0xff first in the counter carries run through all of its bytes.
    const counters = fc.oneof(
      exactly(16),
      exactly(2).map((last) => new Uint8Array(16).fill(0xff).fill(last[0] ?? 0, 15)),
    );
    fc.assert(
      fc.property(exactly(32), counters, fc.uint8Array({ maxLength: 5000 }), (key, counter, data) => {
        const before = data.slice();
        const encrypted = nativeCrypto.aesCtr(key, counter, data);
        assert.deepEqual(encrypted, portableCrypto.aesCtr(key, counter, data));
        assert.deepEqual(nativeCrypto.aesCtr(key, counter, encrypted), data);
        assert.deepEqual(data, before);
      }),
    );
  });

  it('returns arrays of their own', () => {
    const first = nativeCrypto.sha384(Uint8Array.of(1));
    const copy = first.slice();
    nativeCrypto.sha384(Uint8Array.of(2));
    assert.deepEqual(first, copy);
    assert.equal(first.constructor, Uint8Array);
  });
});
