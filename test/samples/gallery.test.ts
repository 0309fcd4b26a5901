/** Every sample does what it says: good ones are clean, each one of the gallery shows its problem at its line. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { faultDefinition } from '../../engine/fault.js';
import { documentKind } from '../../engine/launch/document-kind.js';
import { cli, samples } from '../cli/run-cli.js';

interface JsonFault {
  readonly check: string;
  readonly severity: string;
  readonly message: string;
  readonly hint: string;
  readonly line: number;
  readonly cause?: JsonFault;
}

function lint(path: string): { readonly status: number | null; readonly faults: readonly JsonFault[] } {
  const { status, out } = cli('lint', '--format', 'json', path);
  const { files } = JSON.parse(out) as { files: { faults: JsonFault[] }[] };
  return { status, faults: files[0]?.faults ?? [] };
}

/** How the launch ends before the guest runs: checks of the fault and its causes, outermost first, or none. */
function launch(path: string): {
  readonly status: number | null;
  readonly chain: readonly string[];
  readonly err: string;
} {
  const { status, out, err } = cli('launch', '--json', '--max-instructions', '0', path);
  const end = JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as { exit: { reason: string; fault?: JsonFault } };
  const chain: string[] = [];
  for (let fault = end.exit.fault; fault; fault = fault.cause) chain.push(fault.check);
  assert.equal(end.exit.reason, chain.length > 0 ? 'fault' : 'limit');
  return { status, chain, err };
}

/** What the line of a problem begins with, white space and dashes apart: lines move when comments change. */
type Place = string;

/**
 * name → [check that lint reports, its line, checks of the launch's fault]. An empty chain: the launch goes
 * through, and that is the problem.
 */
const GALLERY: Readonly<Record<string, readonly [check: string, place: Place, chain: readonly string[]]>> = {
  'append-without-kernel': ['image-kernel-missing', 'append:', []],
  'cpu-model-wrong-digest': ['lint-expect-digest', 'digest:', []],
  'cpuid-leaf-8000001d': [
    'lint-cpuid-corrected',
    '{ leaf: 0x8000001d',
    ['kvm-launch-update-failed', 'kvm-page-firmware', 'fw-launch-update-cpuid-policy'],
  ],
  'firmware-code-and-vars': [
    'lint-firmware-twice',
    'firmware: firmware/vars.fd',
    ['kvm-launch-update-failed', 'kvm-populate-exists'],
  ],
  'firmware-is-vars-file': ['image-no-footer', 'firmware: firmware/vars.fd', ['vmm-reset-vector']],
  'firmware-missing': ['manifest-file-missing', 'firmware: OVMF.fd', ['manifest-file-missing']],
  'firmware-without-snp-metadata': ['image-no-metadata', 'firmware: firmware/no-sev', ['vmm-sev-metadata']],
  'firmware-without-reset-block': ['image-no-reset-block', 'firmware: firmware/no-reset', ['vmm-reset-vector']],
  'firmware-wrong-digest': ['lint-expect-digest', 'digest:', []],
  'gosvw-15-bytes': ['manifest-hex-length', 'gosvw:', ['manifest-hex-length']],
  'id-block-bad-signature': [
    'kvm-launch-finish-firmware',
    'id-auth:',
    ['kvm-launch-finish-firmware', 'fw-launch-finish-id-block-signature'],
  ],
  'id-block-is-id-auth': ['lint-id-block-length', 'id-block:', ['vmm-id-block-length']],
  'id-block-without-author-key': [
    'kvm-launch-finish-firmware',
    'author-key:',
    ['kvm-launch-finish-firmware', 'fw-launch-finish-author-key-required'],
  ],
  'id-block-without-author-signature': [
    'lint-author-key-missing',
    'author-key:',
    ['kvm-launch-finish-firmware', 'fw-launch-finish-author-key-algorithm'],
  ],
  'id-block-wrong-digest': [
    'lint-id-block-digest',
    'id-block:',
    ['kvm-launch-finish-firmware', 'fw-launch-finish-launch-digest'],
  ],
  'id-block-wrong-policy': [
    'lint-id-block-policy',
    'id-block:',
    ['kvm-launch-finish-firmware', 'fw-launch-finish-policy'],
  ],
  'kernel-with-empty-hash-area': ['image-no-hashes-section', 'kernel:', ['image-no-hashes-section']],
  'kernel-without-hash-area': ['image-no-hashes-section', 'kernel:', ['image-no-hashes-section']],
  'key-misspelled': ['manifest-unknown-key', 'polciy:', ['manifest-unknown-key']],
  'page-beyond-memory': ['vmm-update-no-memory', '{ gpa: 0x8000000', ['vmm-update-no-memory']],
  'page-launched-twice': [
    'lint-page-overlap',
    '{ gpa: 0x1000, type: normal',
    ['kvm-launch-update-failed', 'kvm-populate-exists'],
  ],
  'page-length-unaligned': ['lint-page-unaligned-length', '{ gpa: 0x2000', ['kvm-attributes-range']],
  'page-unaligned': ['lint-page-unaligned-gpa', '{ gpa: 0x1010', ['kvm-attributes-range']],
  'pages-overlap': ['lint-page-overlap', '{ gpa: 0x3000', ['kvm-launch-update-failed', 'kvm-populate-exists']],
  'policy-0x300000': ['lint-policy-did-you-mean', 'policy: 0x300000', ['kvm-policy-unknown-bits']],
  'policy-abi-too-new': ['fw-policy-abi', 'abi:', ['kvm-launch-start-firmware', 'fw-policy-abi']],
  'policy-bit-17-missing': ['kvm-policy-reserved-one', 'policy: 0x10000', ['kvm-policy-reserved-one']],
  'policy-migration-agent': ['kvm-policy-unknown-bits', 'migration-agent:', ['kvm-policy-unknown-bits']],
  'policy-single-socket': ['kvm-policy-single-socket', 'single-socket:', ['kvm-policy-single-socket']],
  'policy-smt-refused': ['kvm-policy-smt', 'smt:', ['kvm-policy-smt']],
  'policy-unknown-bit': ['kvm-policy-unknown-bits', 'policy: 0x430000', ['kvm-policy-unknown-bits']],
  'vcpus-64-wrong-digest': ['lint-expect-digest', 'digest:', []],
  'vmm-wrong-digest': ['lint-expect-digest', 'digest:', []],
  'vmsa-features-debug-swap': ['kvm-init2-vmsa-features', 'vmsa-features:', ['kvm-init2-vmsa-features']],
  'vmsa-features-wrong-digest': ['lint-expect-digest', 'digest:', []],
};

const GOOD = ['id-block', 'kernel-hashes', 'minimal', 'pages', 'policy-file'];

/** Ends of the launch whose problem is none of the launch itself. */
const COMPLETE_WITH_STATUS: Readonly<Record<string, number>> = { 'append-without-kernel': 0 };

describe('samples', () => {
  it('are all in the tables of this test', () => {
    const manifests = (folder: string): string[] =>
      readdirSync(folder)
        .filter((name) => documentKind(name) === 'manifest')
        .map((name) => name.replace('.snp.yaml', ''))
        .sort();
    assert.deepEqual(manifests(join(samples, 'broken')), Object.keys(GALLERY).sort());
    assert.deepEqual(manifests(samples), [...GOOD, 'first-mistake', 'ovmf'].sort());
  });

  describe('that are good', () => {
    for (const name of GOOD) {
      it(name, () => {
        const path = join(samples, `${name}.snp.yaml`);
        assert.deepEqual(lint(path), { status: 0, faults: [] });
        assert.deepEqual(launch(path), { status: 0, chain: [], err: '' });
      });
    }

    it('production.snp-policy.yaml', () => {
      assert.deepEqual(lint(join(samples, 'production.snp-policy.yaml')), { status: 0, faults: [] });
    });
  });

  it('the first mistake is the one of the README', () => {
    const { status, faults } = lint(join(samples, 'first-mistake.snp.yaml'));
    assert.equal(status, 1);
    assert.equal(faults[0]?.check, 'lint-policy-did-you-mean');
    assert.equal(faults[0]?.line, 10);
    assert.match(faults[0]?.hint ?? '', /0x30000\b/);
  });

  describe('of the gallery', () => {
    for (const [name, [check, place, chain]] of Object.entries(GALLERY)) {
      const path = join(samples, 'broken', `${name}.snp.yaml`);

      it(`${name}: lint reports ${check}`, () => {
        const { faults } = lint(path);
        const found = faults.find((fault) => fault.check === check);
        assert.ok(found, `found ${faults.map((fault) => fault.check).join(', ')}`);
        const line = readFileSync(path, 'utf8').split('\n')[found.line - 1] ?? '';
        const text = line.replace(/^[\s-]+/, '');
        assert.ok(text.startsWith(place), `reported at line ${found.line}: ${line}`);
        assert.ok(found.hint.length > 10 && found.message.length > 20);
        for (const fault of faults) assert.ok(faultDefinition(fault.check), fault.check);
      });

      it(`${name}: launch ends as on a real host`, () => {
        const result = launch(path);
        assert.deepEqual(result.chain, chain);
        assert.equal(result.status, COMPLETE_WITH_STATUS[name] ?? 1);
        assert.match(result.err, /to fix: /);
      });

      it(`${name}: tells the symptom`, () => {
        const text = readFileSync(path, 'utf8');
        assert.match(text, /^# Symptom:\n# {3}\S/m);
        assert.match(text, /^# .*\bLook at\b/m);
      });
    }
  });

  it('ovmf.snp.yaml takes an image of the system, or says what to install', () => {
    const path = join(samples, 'ovmf.snp.yaml');
    const { status, faults } = lint(path);
    if (status === 0) assert.deepEqual(launch(path).chain, []);
    else assert.match(faults.map((fault) => `${fault.message} ${fault.hint}`).join('\n'), /install/i);
  });
});
