import assert from 'node:assert/strict';
import { createHash, createPrivateKey } from 'node:crypto';
import { encodeIdAuth, encodeSignature, ID_AUTH_LAYOUT, parseIdAuth, verifyIdAuth } from '../../engine/asp/id-auth.js';
import { decodeIdBlock, encodeIdBlock } from '../../engine/asp/id-block.js';
import { publicKeyP384, signIdBlock } from '../../engine/asp/sign-id.js';
import { fromHex, toHex } from '../../engine/bytes.js';
import { portableCrypto } from '../../engine/crypto.js';
import type { Result } from '../../engine/fault.js';
import { firmwareStatusName } from '../../engine/spec/firmware-status.js';
import { firmwareProfile } from '../../engine/spec/versions.js';
import { haveVectors, readVector, readVectorJson, synthCases } from '../support/vectors.js';

interface IdBlockFields {
  readonly ld: string;
  readonly policy: string;
  readonly family_id: string;
  readonly image_id: string;
  readonly guest_svn: number;
  readonly id_block: string;
  readonly id_auth_sha256: string;
  readonly id_key_digest: string;
  readonly author_key_digest: string;
}
interface SynthCase extends IdBlockFields {
  readonly kind: string;
  readonly prefix: string;
  readonly author: boolean;
  readonly status: string;
}
interface MadeCase extends IdBlockFields {
  readonly id_key: string;
  readonly author_key: string | null;
  readonly id_block_sha256: string;
  readonly id_auth_file: string;
  readonly negatives: readonly { readonly tag: string; readonly status: string }[];
}

const readBytes = (path: string): Uint8Array => new Uint8Array(readVector(path));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function bytes(text: string): Uint8Array {
  const out = fromHex(text);
  assert.ok(out, text);
  return out;
}

/** The private number of a PEM key: 48 bytes, big-endian. */
function pemKey(path: string): Uint8Array {
  const jwk = createPrivateKey(Buffer.from(readBytes(path))).export({ format: 'jwk' });
  const d = Buffer.from(jwk.d ?? '', 'base64url');
  return new Uint8Array(Buffer.concat([Buffer.alloc(48 - d.length), d]));
}

function blockOf(c: IdBlockFields): Uint8Array {
  return encodeIdBlock({
    ld: bytes(c.ld),
    familyId: bytes(c.family_id),
    imageId: bytes(c.image_id),
    version: 1,
    guestSvn: c.guest_svn,
    policy: BigInt(c.policy),
  });
}

interface Attempt {
  readonly block: Uint8Array;
  readonly auth: Uint8Array;
  readonly ld: Uint8Array;
  readonly policy: bigint;
  readonly author: boolean;
}

const verify = (a: Attempt) =>
  verifyIdAuth({
    idBlock: a.block,
    idAuth: a.auth,
    ld: a.ld,
    policy: a.policy,
    authKeyEnabled: a.author,
    firmware: firmwareProfile(55),
    crypto: portableCrypto,
  });

function statusOf(result: Result<unknown>): string | undefined {
  if (result.ok) return 'SUCCESS';
  return result.fault.code.kind === 'firmware' ? firmwareStatusName(result.fault.code.value) : result.fault.check;
}

function checkDigests(c: IdBlockFields, attempt: Attempt): void {
  const result = verify(attempt);
  assert.ok(result.ok, result.ok ? '' : result.fault.message);
  assert.equal(toHex(result.value.idKeyDigest), c.id_key_digest);
  assert.equal(toHex(result.value.authorKeyDigest), c.author_key_digest);
  assert.equal(result.value.block.guestSvn, c.guest_svn);
}

const flip = (page: Uint8Array, offset: number): Uint8Array => {
  const out = page.slice();
  out[offset] = (out[offset] ?? 0) ^ 1;
  return out;
};
const put = (page: Uint8Array, offset: number, value: number): Uint8Array => {
  const out = page.slice();
  out[offset] = value;
  return out;
};

/** What each negative does to a good ID block. */
const NEGATIVES: readonly (readonly [RegExp, (a: Attempt) => Attempt])[] = [
  [/^ld differs$/, (a) => ({ ...a, ld: flip(a.ld, 0) })],
  [/^policy differs$/, (a) => ({ ...a, policy: a.policy ^ 0x8_0000n })],
  [/^family byte flipped$/, (a) => ({ ...a, block: flip(a.block, 0x30) })],
  [/^sig r flipped$/, (a) => ({ ...a, auth: flip(a.auth, ID_AUTH_LAYOUT.idBlockSig) })],
  [/^sig s flipped$/, (a) => ({ ...a, auth: flip(a.auth, ID_AUTH_LAYOUT.idBlockSig + 72) })],
  [/^pubkey x flipped$/, (a) => ({ ...a, auth: flip(a.auth, ID_AUTH_LAYOUT.idKey + 4) })],
  [/^curve 1$/, (a) => ({ ...a, auth: put(a.auth, ID_AUTH_LAYOUT.idKey, 1) })],
  [/^algo 2$/, (a) => ({ ...a, auth: put(a.auth, ID_AUTH_LAYOUT.idKeyAlgo, 2) })],
  [/^reserved in id_key set/, (a) => ({ ...a, auth: put(a.auth, ID_AUTH_LAYOUT.idKey + 0x94, 1) })],
  [/^auth_key_en without author key$/, (a) => ({ ...a, author: true })],
  [/^author sig flipped$/, (a) => ({ ...a, auth: flip(a.auth, ID_AUTH_LAYOUT.idKeySig) })],
];

describe('ID block vectors', () => {
  if (!haveVectors()) {
    it('needs the test vectors', function () {
      this.skip();
    });
    return;
  }
  describe('synthetic', () => {
    const cases = synthCases('idblock') as unknown as readonly SynthCase[];
    it('are there', () => assert.ok(cases.length > 0));
    for (const c of cases) {
      it(`${c.prefix} ${c.author ? 'with author key' : ''}`, () => {
        const block = blockOf(c);
        assert.equal(toHex(block), c.id_block);
        assert.deepEqual(block, readBytes(`synth/${c.prefix}id_block.bin`));
        if (c.status === 'SUCCESS') {
          const idKey = pemKey(`synth/${c.prefix}id_key.pem`);
          const auth = signIdBlock(block, idKey, c.author ? pemKey(`synth/${c.prefix}author_key.pem`) : undefined);
          assert.equal(sha256(auth), c.id_auth_sha256);
        }
        const attempt: Attempt = {
          block,
          auth: readBytes(`synth/${c.prefix}id_auth.bin`),
          ld: bytes(c.ld),
          policy: BigInt(c.policy),
          author: c.author,
        };
        assert.equal(statusOf(verify(attempt)), c.status);
        if (c.status === 'SUCCESS') checkDigests(c, attempt);
      });
    }
  });

  describe('with the IGVM keys', () => {
    const keyFile = (name: string): string => `igvm/key_${name}.pem`;
    for (const [i, c] of (readVectorJson('idblock.json') as MadeCase[]).entries()) {
      const block = blockOf(c);
      const attempt: Attempt = {
        block,
        auth: readBytes(c.id_auth_file),
        ld: bytes(c.ld),
        policy: BigInt(c.policy),
        author: c.author_key !== null,
      };
      it(`${i}: encodes the block`, () => {
        assert.equal(toHex(block), c.id_block);
        assert.equal(sha256(block), c.id_block_sha256);
        assert.equal(sha256(attempt.auth), c.id_auth_sha256);
      });
      it(`${i}: accepts it`, () => checkDigests(c, attempt));
      // The second case was signed with a key that is not part of the vectors.
      if (c.id_key === 'id') {
        it(`${i}: signs the same bytes`, () => {
          const author = c.author_key ? pemKey(keyFile(c.author_key)) : undefined;
          assert.equal(sha256(signIdBlock(block, pemKey(keyFile(c.id_key)), author)), c.id_auth_sha256);
        });
      }
      for (const negative of c.negatives) {
        it(`${i}: ${negative.tag} → ${negative.status}`, () => {
          const change = NEGATIVES.find(([pattern]) => pattern.test(negative.tag));
          assert.ok(change, `no test knows what "${negative.tag}" means`);
          assert.equal(statusOf(verify(change[1](attempt))), negative.status);
        });
      }
    }
  });

  it('fixtures of virtee/sev verify and hold the keys of the PEM files', () => {
    const folder = 'vectors/idblock/virtee_sev';
    const block = readBytes(`${folder}/expected_id_block.bin`);
    const auth = readBytes(`${folder}/expected_id_auth.bin`);
    const fields = decodeIdBlock(block);
    assert.deepEqual(encodeIdBlock(fields), block);
    const parsed = parseIdAuth(auth);
    const { x, y } = publicKeyP384(pemKey(`${folder}/test_id_key.pem`));
    assert.equal(toHex(parsed.idKey.x), toHex(x));
    assert.equal(toHex(parsed.idKey.y), toHex(y));
    const author = publicKeyP384(pemKey(`${folder}/test_auth_key.pem`));
    assert.equal(toHex(parsed.authorKey.x), toHex(author.x));
    assert.equal(toHex(parsed.authorKey.y), toHex(author.y));
    assert.equal(statusOf(verify({ block, auth, ld: fields.ld, policy: fields.policy, author: true })), 'SUCCESS');
    const made = encodeIdAuth({
      idBlockSignature: parsed.idBlockSignature,
      idKey: { x, y },
      author: { key: author, signature: parsed.idKeySignature },
    });
    assert.deepEqual(made, auth);
    assert.deepEqual(encodeSignature(parsed.idBlockSignature), readBytes(`${folder}/test_id_sig.bin`));
    assert.deepEqual(encodeSignature(parsed.idKeySignature), readBytes(`${folder}/test_auth_sig.bin`));
  });
});
