/**
 * Makes the ID block and the ID authentication page of samples/id-block.snp.yaml, and the wrong ones of the gallery,
 * from the launch digest of that manifest and the public test keys beside it. Signatures are deterministic
 * (RFC 6979), so that the same input gives the same files.
 *
 *   npx tsx scripts/make-id-block.ts
 */
import { createPrivateKey } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { encodeIdBlock } from '../engine/asp/id-block.js';
import { signIdBlock } from '../engine/asp/sign-id.js';
import { parseManifest } from '../engine/launch/manifest/parse.js';
import { measurePlan } from '../engine/launch/measure.js';
import { resolvePlan } from '../engine/launch/resolve.js';
import { createFileSource } from '../platform/file-source.js';
import { nativeCrypto } from '../platform/native-crypto.js';

const samples = join(__dirname, '..', 'samples');

/** 48 bytes, big-endian. */
function privateKey(name: string): Uint8Array {
  const jwk = createPrivateKey(readFileSync(join(samples, 'id-block', name))).export({ format: 'jwk' });
  return new Uint8Array(Buffer.from(jwk.d ?? '', 'base64url'));
}

/** Policy and launch digest of the sample; its own ID block, which may be out of date, is not looked at. */
function measureSample(): { readonly policy: bigint; readonly ld: Uint8Array } {
  const file = join(samples, 'id-block.snp.yaml');
  const text = readFileSync(file, 'utf8').replace(/^ {2}finish:\n(?: {4}.*\n?)*/m, '');
  const { plan, faults } = resolvePlan(parseManifest(text, file), createFileSource(), nativeCrypto);
  const measured = plan && measurePlan(plan, nativeCrypto);
  if (!plan || !measured?.ok) {
    throw new Error(`id-block.snp.yaml cannot be measured: ${faults.map((fault) => fault.message).join('; ')}`);
  }
  return { policy: plan.start.policy, ld: measured.value.digest };
}

/** All files, by path below samples/. */
export function makeIdBlocks(): ReadonlyMap<string, Uint8Array> {
  const { policy, ld } = measureSample();
  const idKey = privateKey('id-key.pem');
  const authorKey = privateKey('author-key.pem');
  const fields = {
    ld,
    familyId: Uint8Array.from({ length: 16 }, (_, i) => 0x10 + i),
    imageId: Uint8Array.from({ length: 16 }, (_, i) => 0x20 + i),
    version: 1,
    guestSvn: 7,
    policy,
  };
  const good = encodeIdBlock(fields);
  const goodAuth = signIdBlock(good, idKey, authorKey);
  const other = encodeIdBlock({ ...fields, ld: nativeCrypto.sha384(ld) });
  const damaged = goodAuth.slice();
  damaged[0x40] = (damaged[0x40] ?? 0) ^ 1;
  return new Map([
    ['id-block/id-block.bin', good],
    ['id-block/id-auth.bin', goodAuth],
    ['broken/id-block/wrong-digest-id-block.bin', other],
    ['broken/id-block/wrong-digest-id-auth.bin', signIdBlock(other, idKey, authorKey)],
    ['broken/id-block/bad-signature-id-auth.bin', damaged],
    ['broken/id-block/no-author-id-auth.bin', signIdBlock(good, idKey)],
  ]);
}

function main() {
  for (const [path, bytes] of makeIdBlocks()) {
    const target = join(samples, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, bytes);
    console.log(`${target}: ${bytes.length} bytes`);
  }
}

if (process.argv[1] === __filename) main();
