import assert from 'node:assert/strict';
import fc from 'fast-check';
import { encodeIdAuth, encodePublicKey, encodeSignature, parseIdAuth } from '../../../engine/asp/id-auth.js';
import { decodeIdBlock, encodeIdBlock, ID_AUTH_SIZE } from '../../../engine/asp/id-block.js';
import { toHex } from '../../../engine/bytes.js';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

describe('ID authentication page', () => {
  it('parses what it encodes', () => {
    const number = bytes(48);
    const point = fc.record({ x: number, y: number });
    const signature = fc.record({ r: number, s: number });
    const author = fc.option(fc.record({ key: point, signature }), { nil: undefined });
    fc.assert(
      fc.property(signature, point, author, (idBlockSignature, idKey, with_) => {
        const page = encodeIdAuth({ idBlockSignature, idKey, ...(with_ ? { author: with_ } : {}) });
        const auth = parseIdAuth(page);
        assert.equal(page.length, ID_AUTH_SIZE);
        assert.equal(auth.reservedAt, undefined);
        assert.deepEqual([auth.idBlockSignature.r, auth.idBlockSignature.s], [idBlockSignature.r, idBlockSignature.s]);
        assert.deepEqual([auth.idKey.x, auth.idKey.y, auth.idKey.curve], [idKey.x, idKey.y, 2]);
        assert.equal(auth.authKeyAlgo, with_ ? 1 : 0);
        if (with_) assert.deepEqual([auth.authorKey.x, auth.idKeySignature.s], [with_.key.x, with_.signature.s]);
        assert.equal(auth.idKey.overlong || auth.idBlockSignature.overlong, false);
      }),
      { numRuns: 50 },
    );
  });

  it('leaves a Buffer as it was', () => {
    const page = Buffer.from(encodeSignature({ r: Uint8Array.of(1, 2), s: Uint8Array.of(3) }));
    const before = toHex(page);
    parseIdAuth(page);
    encodeSignature({ r: page.subarray(0, 48), s: page.subarray(48, 96) });
    assert.equal(toHex(page), before);
  });

  it('never fails, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (page) => void parseIdAuth(page)),
      { numRuns: 50 },
    );
  });

  // Numbers that lost their leading zeros: sev-snp-measure issue 28.
  it('pads short numbers at the high end', () => {
    const short = Uint8Array.of(0x12, 0x34);
    const structure = encodeSignature({ r: short, s: short });
    assert.equal(toHex(structure.subarray(0, 4)), '34120000');
    assert.equal(toHex(structure.subarray(72, 76)), '34120000');
    assert.equal(toHex(encodePublicKey({ x: short, y: short }).subarray(0, 8)), '0200000034120000');
    assert.throws(() => encodeSignature({ r: new Uint8Array(49), s: short }), RangeError);
  });
});

describe('ID block', () => {
  it('decodes what it encodes', () => {
    const block = fc.record(
      {
        ld: bytes(48),
        familyId: bytes(16),
        imageId: bytes(16),
        version: fc.nat(0xffff_ffff),
        guestSvn: fc.nat(0xffff_ffff),
        policy: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      },
      { noNullPrototype: true },
    );
    fc.assert(fc.property(block, (b) => assert.deepEqual(decodeIdBlock(encodeIdBlock(b)), b)));
  });
});
