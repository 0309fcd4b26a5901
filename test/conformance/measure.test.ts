import assert from 'node:assert/strict';
import { toHex } from '../../engine/bytes.js';
import { type Crypto, portableCrypto } from '../../engine/crypto.js';
import { measureImage } from '../../engine/launch/measure.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { haveVectors, type MeasureCase, measureCases } from '../support/vectors.js';

/** Error texts of other tools, and the check of ours that stands for the same kind of error. */
const ERROR_KINDS: readonly (readonly [RegExp, readonly string[]])[] = [
  [/SNP_KERNEL_HASHES section|no kernel-hashes section/, ['image-no-hashes-section']],
  [/SEV_ES_RESET_BLOCK|no SEV-ES reset block/, ['image-no-reset-block']],
  [/hashes table crosses/, ['image-hashes-cross-page']],
  [/hash(es)? table (area|GUID|entry)|SEV_HASH_TABLE/i, ['image-no-hash-area']],
  [/unknown SEV metadata section type/i, ['image-section-type']],
  [/signature is not ASEV|wrong SEV metadata signature/i, ['image-metadata-signature']],
  [/metadata version/i, ['image-metadata-version']],
  [/metadata is truncated/i, ['image-metadata-truncated']],
  [/metadata offset is outside/i, ['image-metadata-offset']],
  [/is not a multiple of 4096/, ['image-section-unaligned', 'image-size-unaligned']],
  [/entry is shorter than its own header|invalid entry size/i, ['image-entry-size']],
  [/table (footer )?(size|length)/i, ['image-footer-size']],
  [/unknown (vcpu|cpu)/i, ['vmm-unknown-cpu-model']],
];

function run(c: MeasureCase, crypto: Crypto): { readonly digest: string } | { readonly check: string } {
  const { ovmf, vcpus, vcpuType, guestFeatures, vmm, kernel, initrd, append } = c;
  const options = { ovmf, vcpus, vcpuType, guestFeatures, vmmType: vmm };
  const direct = {
    ...(kernel ? { kernel } : {}),
    ...(initrd ? { initrd } : {}),
    ...(append === undefined ? {} : { append }),
  };
  const result = measureImage({ ...options, ...direct }, crypto);
  return result.ok ? { digest: toHex(result.value) } : { check: result.fault.check };
}

/** Undefined if the case agrees, else what differs. */
function difference(c: MeasureCase, crypto: Crypto = nativeCrypto): string | undefined {
  const got = run(c, crypto);
  if ('digest' in c.expected) {
    if ('digest' in got && got.digest === c.expected.digest) return undefined;
    return `${c.id}: expected ${c.expected.digest}, got ${JSON.stringify(got)}`;
  }
  const { error } = c.expected;
  const kind = ERROR_KINDS.find(([text]) => text.test(error));
  if (!kind) return `${c.id}: no kind of ours for the error "${error}"`;
  if ('check' in got && kind[1].includes(got.check)) return undefined;
  return `${c.id}: expected ${kind[1].join(' or ')} for "${error}", got ${JSON.stringify(got)}`;
}

describe('conformance: launch digests of OVMF images', function () {
  if (!haveVectors('measure.json')) return;
  this.timeout(120_000);
  const cases = measureCases();
  const hard = cases.filter((c) => c.soft === undefined);
  const soft = cases.filter((c) => c.soft !== undefined);

  it(`agrees in all ${hard.length} cases that bind`, () => {
    assert.ok(hard.length > 0);
    assert.deepEqual(
      hard.flatMap((c) => difference(c) ?? []),
      [],
    );
  });

  it('gives the same digests with portable hashing', () => {
    const small = hard.filter((c) => c.ovmf.length <= 0x1000 && c.vcpus <= 4).slice(0, 20);
    assert.ok(small.length > 0);
    assert.deepEqual(
      small.flatMap((c) => difference(c, portableCrypto) ?? []),
      [],
    );
  });

  it(`counts how many of the ${soft.length} tool-defined cases agree`, () => {
    const different = soft.flatMap((c) => difference(c) ?? []);
    process.stdout.write(`      tool-defined cases that agree: ${soft.length - different.length} of ${soft.length}\n`);
    for (const line of different.slice(0, 5)) process.stdout.write(`      differs: ${line}\n`);
  });
});
