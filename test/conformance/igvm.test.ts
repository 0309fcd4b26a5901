import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { toHex } from '../../engine/bytes.js';
import { rootFault } from '../../engine/fault.js';
import { parseManifest } from '../../engine/launch/manifest/parse.js';
import { measurePlan } from '../../engine/launch/measure.js';
import { resolvePlan } from '../../engine/launch/resolve.js';
import { dryRun } from '../../engine/vmm/launch.js';
import { nativeCrypto } from '../../platform/native-crypto.js';
import { memoryFiles } from '../support/memory-files.js';
import { describeVectors, haveVectors, readVector, readVectorJson } from '../support/vectors.js';

interface IgvmCase {
  readonly file: string;
  readonly sha256: string;
  readonly expect: 'digest' | 'error' | 'disputed';
  readonly digest?: string;
  readonly native_zero_digest?: string;
  readonly qemu_digest?: string;
  readonly igvmmeasure?: string;
}

const PATH = '/w/a.snp.yaml';

function resolve(bytes: Uint8Array, zeroPages?: 'normal' | 'zero') {
  const keys = `igvm: guest.igvm${zeroPages ? `, zero-pages: ${zeroPages}` : ''}`;
  const text = `snp: 1\nvm: { cpu: EPYC-Milan-v2 }\nlaunch:\n  update:\n    - { ${keys} }\n`;
  const parsed = parseManifest(text, PATH);
  assert.deepEqual(parsed.problems, []);
  return { text, ...resolvePlan(parsed, memoryFiles({ '/w/guest.igvm': bytes }), nativeCrypto) };
}

/** The digest of the plan, which the emulated launch must agree with. */
function launchedDigest(bytes: Uint8Array, zeroPages?: 'normal' | 'zero'): string {
  const { plan, faults } = resolve(bytes, zeroPages);
  assert.ok(plan, faults.map((f) => f.message).join('\n'));
  const measured = measurePlan(plan, nativeCrypto);
  assert.ok(measured.ok);
  const digest = toHex(measured.value.digest);
  const { fault, digest: launched } = dryRun(plan, { crypto: nativeCrypto });
  if (fault) {
    // An ID block with another digest: everything was measured before it was refused.
    assert.equal(rootFault(fault).check, 'fw-launch-finish-launch-digest', fault.message);
    assert.equal(rootFault(fault).operands['actual'], digest);
  } else assert.equal(launched && toHex(launched), digest);
  return digest;
}

/** Why each malformed file is refused. */
const REFUSALS: Readonly<Record<string, string>> = {
  'bad_crc.igvm': 'image-igvm-checksum',
  'bad_data_type_bad.igvm': 'image-igvm-page-data-type',
  'bad_empty.igvm': 'image-igvm-too-short',
  'bad_file_offset_past_end.igvm': 'image-igvm-data-range',
  'bad_gpa_unaligned.igvm': 'image-igvm-alignment',
  'bad_init_before_platform.igvm': 'image-igvm-order',
  'bad_len_wrong.igvm': 'image-igvm-length',
  'bad_magic.igvm': 'image-igvm-magic',
  'bad_param_undeclared.igvm': 'image-igvm-parameter-area',
  'bad_total_size_small.igvm': 'image-igvm-file-size',
  'bad_trunc_file.igvm': 'image-igvm-file-size',
  'bad_trunc_fixed.igvm': 'image-igvm-too-short',
  'bad_type_unknown.igvm': 'image-igvm-type',
  'bad_version0.igvm': 'image-igvm-version',
};

describeVectors('IGVM vectors', () => {
  if (!haveVectors('igvm.json')) return;
  for (const c of readVectorJson('igvm.json') as readonly IgvmCase[]) {
    it(`${c.file}: ${c.expect}`, () => {
      const bytes = new Uint8Array(readVector(c.file));
      assert.equal(createHash('sha256').update(bytes).digest('hex'), c.sha256);
      const name = c.file.replace(/.*\//, '');
      switch (c.expect) {
        case 'error': {
          const { plan, faults, text } = resolve(bytes);
          assert.equal(plan, undefined);
          const [fault] = faults.filter((f) => f.severity === 'error');
          assert.ok(fault);
          if (name in REFUSALS) assert.equal(fault.check, REFUSALS[name]);
          assert.equal(fault.at && text.slice(fault.at.range.start, fault.at.range.end), 'guest.igvm');
          break;
        }
        case 'digest':
          assert.equal(launchedDigest(bytes), c.digest);
          assert.equal(launchedDigest(bytes, 'normal'), c.digest);
          assert.equal(launchedDigest(bytes, 'zero'), c.native_zero_digest);
          if (c.qemu_digest) assert.equal(launchedDigest(bytes, 'zero'), c.qemu_digest);
          break;
        case 'disputed':
          // Tools differ on pages marked as shared: QEMU measures them, as igvmmeasure does, and we say so.
          assert.equal(launchedDigest(bytes), c.qemu_digest);
          assert.ok(resolve(bytes).faults.some((f) => f.check === 'vmm-igvm-shared-page'));
          break;
      }
    });
  }

  it('a signed file launches with its ID block and author key', () => {
    const { plan } = resolve(new Uint8Array(readVector('igvm/mine_min_signed_idauth.igvm')));
    assert.equal(plan?.finish.authorKey, true);
    assert.equal(plan.finish.idBlock?.length, 96);
    assert.equal(plan.finish.idAuth?.length, 4096);
    assert.equal(dryRun(plan, { crypto: nativeCrypto }).fault, undefined);
  });

  it('a signed file for another digest is refused by the firmware', () => {
    const { plan } = resolve(new Uint8Array(readVector('igvm/mine_min_signed_wrongld.igvm')));
    assert.ok(plan);
    const { fault } = dryRun(plan, { crypto: nativeCrypto });
    assert.equal(fault && rootFault(fault).check, 'fw-launch-finish-launch-digest');
  });
});
