import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { faultDefinition } from '../../engine/fault.js';
import { cli, cliProcess, repository, samples } from './run-cli.js';

const minimal = join(samples, 'minimal.snp.yaml');
const mistake = join(samples, 'first-mistake.snp.yaml');
const append = join(samples, 'broken/append-without-kernel.snp.yaml');

interface SarifResult {
  readonly ruleId: string;
  readonly ruleIndex: number;
  readonly level: string;
  readonly message: { readonly text: string };
  readonly locations: readonly {
    readonly physicalLocation: {
      readonly artifactLocation: { readonly uri: string; readonly uriBaseId?: string };
      readonly region: { startLine: number; startColumn: number; endLine: number; endColumn: number };
    };
  }[];
}
interface Sarif {
  readonly $schema: string;
  readonly version: string;
  readonly runs: readonly {
    readonly tool: {
      readonly driver: {
        readonly name: string;
        readonly version: string;
        readonly rules: readonly { readonly id: string; readonly shortDescription: { readonly text: string } }[];
      };
    };
    readonly originalUriBaseIds: Readonly<Record<string, { readonly uri: string }>>;
    readonly invocations: readonly { readonly executionSuccessful: boolean }[];
    readonly results: readonly SarifResult[];
  }[];
}

describe('sev-snp lint', () => {
  it('is content with good files', () => {
    const { status, out, err } = cliProcess(['lint', 'samples/minimal.snp.yaml', 'samples/production.snp-policy.yaml']);
    assert.equal(err, '');
    assert.equal(out, '2 files checked: no problems\n');
    assert.equal(status, 0);
  });

  it('shows place, excerpt, mark and what to change', () => {
    const { status, out } = cliProcess(['lint', 'samples/first-mistake.snp.yaml']);
    assert.equal(status, 1);
    assert.match(out, /^samples\/first-mistake\.snp\.yaml:10:11: error: .* \[[a-z0-9-]+\]$/m);
    assert.match(out, /^ {3}10 \| {3}policy: 0x300000\n {5} \| {11}\^{8}$/m);
    assert.match(out, /^ {2}to fix: .*0x30000\b/m);
    assert.match(out, /1 file checked: \d+ error/);
  });

  it('ends with 0 when there are only warnings', () => {
    const { status, out } = cli('lint', append);
    assert.match(out, /: warning: /);
    assert.match(out, /1 file checked: 1 warning\n$/);
    assert.equal(status, 0);
  });

  it('writes JSON', () => {
    const { status, out } = cli('lint', '--format', 'json', minimal, mistake);
    assert.equal(status, 1);
    const log = JSON.parse(out) as {
      files: {
        path: string;
        digest?: string;
        faults: { check: string; line: number; column: number; hint: string }[];
      }[];
    };
    assert.deepEqual(
      log.files.map((f) => f.path),
      [minimal, mistake],
    );
    assert.equal(log.files[0]?.digest, cli('measure', minimal).out.trim());
    assert.deepEqual(log.files[0]?.faults, []);
    const [fault] = log.files[1]?.faults ?? [];
    assert.equal(fault?.line, 10);
    assert.equal(fault?.column, 11);
    assert.ok(faultDefinition(fault?.check ?? ''), 'the check is declared');
  });

  it('writes SARIF 2.1.0', () => {
    const { status, out } = cliProcess(['lint', '--format=sarif', mistake, append, minimal]);
    assert.equal(status, 1);
    const log = JSON.parse(out) as Sarif;
    assert.equal(log.version, '2.1.0');
    assert.match(log.$schema, /sarif-2\.1\.0/);
    assert.equal(log.runs.length, 1);
    const [run] = log.runs;
    assert.ok(run);
    assert.match(run.tool.driver.version, /^\d+\.\d+\.\d+$/);
    assert.equal(run.invocations[0]?.executionSuccessful, true);
    assert.ok(run.results.length >= 2);
    const base = run.originalUriBaseIds['SRCROOT']?.uri ?? '';
    assert.ok(base.endsWith('/'));
    for (const result of run.results) {
      assert.equal(run.tool.driver.rules[result.ruleIndex]?.id, result.ruleId);
      assert.ok(['error', 'warning', 'note'].includes(result.level));
      assert.match(result.message.text, /To fix: /);
      const [location] = result.locations;
      assert.ok(location);
      const { artifactLocation, region } = location.physicalLocation;
      assert.equal(artifactLocation.uriBaseId, 'SRCROOT');
      assert.ok([mistake, append].includes(fileURLToPath(new URL(artifactLocation.uri, base))));
      assert.ok(region.startLine >= 1 && region.startColumn >= 1 && region.endLine >= region.startLine);
    }
    assert.ok(run.tool.driver.rules.every((rule) => rule.shortDescription.text !== ''));
  });

  it('goes on after a file that cannot be read', () => {
    const { status, out, err } = cli('lint', 'nowhere.snp.yaml', repository, minimal);
    assert.equal(status, 1);
    assert.match(err, /nowhere\.snp\.yaml cannot be read: no such file/);
    assert.match(err, /it is a folder/);
    assert.match(out, /^1 file checked: no problems; 2 files could not be read$/m);
    const sarif = JSON.parse(cli('lint', 'nowhere.snp.yaml', '--format', 'sarif').out) as Sarif;
    assert.equal(sarif.runs[0]?.invocations[0]?.executionSuccessful, false);
  });

  it('says that it takes a file of another name for a manifest', () => {
    assert.match(cli('lint', join(samples, 'README.md')).err, /README\.md was taken for a launch manifest/);
    assert.equal(cli('lint', minimal).err, '');
  });

  describe('hostile text', () => {
    let folder: string;
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'sev-snp-lint-'));
    });
    after(() => rmSync(folder, { recursive: true }));

    it('does not drive the terminal', () => {
      const file = join(folder, 'a.snp.yaml');
      writeFileSync(file, 'snp: 1\n"\\e[31mred": \u001b[2J\u202e\nlaunch: {}\n');
      const { status, out } = cli('lint', file);
      assert.equal(status, 1);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      assert.doesNotMatch(out, /[\u0000-\u0009\u000b-\u001f\u007f\u202e]/);
    });

    it('shows a part of a very long line', () => {
      const file = join(folder, 'b.snp.yaml');
      writeFileSync(file, `snp: 1\nlaunch: { ${'x'.repeat(50_000)}: 1, policy: 0x30000, update: [] }\n`);
      const { status, out } = cli('lint', file);
      assert.equal(status, 1);
      assert.ok(out.length < 20_000, `${out.length} characters`);
    });
  });
});
