import assert from 'node:assert/strict';
import { join } from 'node:path';
import { cli, cliProcess, cliWithImpatientReader, samples } from './run-cli.js';

const minimal = join(samples, 'minimal.snp.yaml');
const mistake = join(samples, 'first-mistake.snp.yaml');
const abi = join(samples, 'broken/policy-abi-too-new.snp.yaml');

interface Line {
  readonly event: string;
  readonly [name: string]: unknown;
}

function jsonLines(text: string): Line[] {
  assert.ok(text.endsWith('\n'));
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

describe('sev-snp launch', () => {
  it('prints the digest that measure computes', () => {
    const { status, out, err } = cli('launch', minimal);
    assert.equal(err, '');
    assert.equal(status, 0);
    const digest = cli('measure', minimal).out.trim();
    assert.match(digest, /^[0-9a-f]{96}$/);
    assert.match(
      out,
      new RegExp(`\\nlaunch digest ${digest}\nend: the guest asked for its termination: .*general.*\\n$`),
    );
  });

  it('traces every event as a readable line', () => {
    const { status, out } = cliProcess(['launch', '--trace', minimal]);
    assert.equal(status, 0);
    for (const text of [
      /KVM_SEV_SNP_LAUNCH_START/,
      /SNP_LAUNCH_UPDATE/,
      /Hypervisor → Pre-Guest/,
      /digest NORMAL gpa=0xffff0000/,
      /SNP_LAUNCH_FINISH/,
    ]) {
      assert.match(out, text);
    }
  });

  it('writes JSON lines that end with the result', () => {
    const { status, out, err } = cliProcess(['launch', '--json', minimal]);
    assert.equal(err, '');
    assert.equal(status, 0);
    const lines = jsonLines(out);
    const kinds = new Set(lines.map((line) => line.event));
    for (const kind of ['enter', 'leave', 'rmp', 'digest', 'end']) assert.ok(kinds.has(kind), kind);
    assert.equal(lines.filter((line) => line.event === 'end').length, 1);
    const { vcpus, exit, ...end } = lines.at(-1) ?? { event: '' };
    assert.deepEqual(end, {
      event: 'end',
      digest: cli('measure', minimal).out.trim(),
      instructions: 6,
      console: '',
    });
    const { reason, set, code } = exit as Line;
    assert.deepEqual([reason, set, code], ['termination', 0, 0]);
    const [registers, ...more] = vcpus as Record<string, unknown>[];
    assert.deepEqual(more, []);
    assert.equal(registers?.['rip'], '0xf015');
    assert.equal(registers?.['rcx'], '0xc0010130');
    const digests = lines.filter((line) => line.event === 'digest');
    // 16 pages of the image, 4 of SEC_MEM, secrets, CPUID, kernel hashes, one VMSA.
    assert.equal(digests.length, 24);
  });

  it('ends JSON lines with a fault when there is no manifest', () => {
    for (const [name, problem] of [
      [join(samples, 'nowhere.snp.yaml'), /no such file/],
      [samples, /is a folder/],
      [join(samples, 'production.snp-policy.yaml'), /is a policy file/],
    ] as const) {
      const { status, out, err } = cli('launch', '--json', name);
      assert.equal(status, 1);
      assert.match(err, problem);
      const [end, ...more] = jsonLines(out);
      assert.deepEqual(more, []);
      assert.equal(end?.event, 'end');
      const exit = end?.['exit'] as { reason: string; fault: { check: string; message: string } };
      assert.equal(exit.reason, 'fault');
      assert.equal(exit.fault.check, 'manifest-unreadable');
      assert.match(exit.fault.message, problem);
    }
  });

  it('is deterministic', () => {
    assert.equal(cli('launch', '--json', minimal).out, cli('launch', '--json', minimal).out);
  });

  it('explains a refusal of KVM', () => {
    const { status, out, err } = cliProcess(['launch', mistake]);
    assert.equal(status, 1);
    assert.doesNotMatch(out, /launch digest/);
    assert.match(err, /first-mistake\.snp\.yaml:\d+:\d+: error: .*EINVAL/);
    assert.match(err, /to fix: /);
  });

  it('explains a refusal of the firmware with both layers', () => {
    const { status, out, err } = cli('launch', '--json', abi);
    assert.equal(status, 1);
    const end = jsonLines(out).at(-1);
    assert.equal(end?.digest, null);
    const exit = end?.['exit'] as { reason: string; fault: { code: string; cause?: { code: string; check: string } } };
    assert.equal(exit.reason, 'fault');
    assert.match(exit.fault.code, /EIO/);
    assert.match(exit.fault.cause?.code ?? '', /POLICY_FAILURE/);
    assert.match(err, /because firmware: SNP_LAUNCH_START → POLICY_FAILURE \(fw_error=0x7\)/);
  });

  it('ends with a fault when the manifest cannot be launched at all', () => {
    const { status, out } = cli('launch', '--json', join(samples, 'broken/firmware-missing.snp.yaml'));
    assert.equal(status, 1);
    const [end] = jsonLines(out);
    assert.equal((end?.['exit'] as { reason: string } | undefined)?.reason, 'fault');
  });

  it('takes --max-instructions', () => {
    for (const [count, reason] of [
      ['0', 'limit'],
      ['3', 'limit'],
      ['1000', 'termination'],
    ] as const) {
      const { status, out } = cli('launch', minimal, '--json', '--max-instructions', count);
      assert.equal(status, 0);
      const end = jsonLines(out).at(-1);
      assert.equal((end?.['exit'] as Line | undefined)?.['reason'], reason);
      assert.equal(end?.['instructions'], Math.min(Number(count), 6));
    }
  });

  it('reports a file that is not there', () => {
    const { status, out, err } = cli('launch', 'nowhere.snp.yaml');
    assert.equal(status, 1);
    assert.equal(out, '');
    assert.match(err, /nowhere\.snp\.yaml cannot be read: no such file/);
  });

  it('wants a manifest, not a policy', () => {
    for (const verb of ['launch', 'measure']) {
      const { status, err } = cli(verb, join(samples, 'production.snp-policy.yaml'));
      assert.equal(status, 1);
      assert.match(err, /production\.snp-policy\.yaml is a policy file, and here a launch manifest is needed/);
    }
  });

  it('does not call a launch complete that is not the one of the manifest', () => {
    const { status, out } = cli('launch', '--json', join(samples, 'broken/key-misspelled.snp.yaml'));
    assert.equal(status, 1);
    const end = jsonLines(out).at(-1);
    assert.equal(end?.['digest'], null);
    assert.equal((end?.['exit'] as { reason: string } | undefined)?.reason, 'fault');
  });

  it('fails when the digest is not the expected one', () => {
    const broken = join(samples, 'broken/vcpus-64-wrong-digest.snp.yaml');
    const { status, out, err } = cli('launch', '--json', broken, '--max-instructions', '0');
    assert.equal(status, 1);
    assert.equal((jsonLines(out).at(-1)?.['exit'] as Line | undefined)?.['reason'], 'limit');
    assert.match(err, /lint-expect-digest/);
  });

  it('stops quietly when its reader goes away', async () => {
    const { status, err } = await cliWithImpatientReader(['launch', '--json', join(samples, 'kernel-hashes.snp.yaml')]);
    assert.equal(err, '');
    assert.equal(status, 0);
  });
});
