import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseInteger } from '../../cli/usage.js';
import { cli, cliProcess, repository, samples } from './run-cli.js';

const VERBS = ['measure', 'lint', 'launch', 'explain'] as const;
const minimal = join(samples, 'minimal.snp.yaml');

describe('sev-snp: usage', () => {
  it('helps', () => {
    for (const args of [['--help'], ['-h'], ['help']]) {
      const { status, out, err } = cli(...args);
      assert.equal(status, 0);
      assert.match(out, /^Usage: sev-snp COMMAND/);
      for (const verb of VERBS) assert.match(out, new RegExp(`^  ${verb} `, 'm'));
      assert.equal(err, '');
    }
    for (const verb of VERBS) {
      for (const args of [
        [verb, '--help'],
        [verb, '-h'],
        ['help', verb],
        [verb, 'x', '--help'],
      ]) {
        const { status, out } = cli(...args);
        assert.equal(status, 0, args.join(' '));
        assert.match(out, new RegExp(`^Usage: sev-snp ${verb} `));
        for (const line of out.split('\n')) assert.ok(line.length <= 120, line);
      }
    }
  });

  it('prints its version', () => {
    const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string };
    assert.deepEqual(cli('--version'), { status: 0, out: `${version}\n`, err: '' });
  });

  const wrong: [args: string[], message: RegExp][] = [
    [['mesure'], /there is no command 'mesure'; did you mean 'measure'\?/],
    [['--foo'], /unknown option --foo/],
    [['toString'], /there is no command 'toString'/],
    [['measure'], /give a manifest or --ovmf FILE/],
    [['measure', '--vcpu', '1'], /unknown option --vcpu; did you mean --vcpus\?/],
    [['measure', '-x'], /unknown option -x/],
    [['measure', '--ovmf'], /--ovmf needs a value/],
    [['measure', '--ovmf', '--vcpus'], /--ovmf needs a value/],
    [['measure', minimal, minimal], /one manifest at a time/],
    [['measure', minimal, '--vcpus', '2'], /--vcpus does not go with a manifest/],
    [['measure', '--ovmf', 'x', '--vcpus', 'two'], /--vcpus wants a number, not 'two'/],
    [['measure', '--ovmf', 'x', '--vcpus', '0'], /--vcpus wants at least 1/],
    [['measure', '--ovmf', 'x', '--vcpus', '5000'], /--vcpus wants a number from 0 to 4096/],
    [['measure', '--ovmf', 'x', '--vcpu-type', 'EPYC-Milano'], /no CPU model 'EPYC-Milano'; did you mean EPYC-Milan\?/],
    [['measure', '--ovmf', 'x', '--guest-features', 'zz'], /--guest-features wants a number/],
    [['measure', '--ovmf', 'x', '--guest-features=-1'], /--guest-features wants a number/],
    [['measure', '--ovmf', 'x', '--vmm-type', 'xen'], /--vmm-type wants QEMU, ec2 or gce/],
    [['measure', '--ovmf', 'x', '--mode', 'sev'], /--mode sev is not supported/],
    [['lint'], /no file to check/],
    [['lint', minimal, '--format', 'xml'], /--format wants text, json or sarif, not 'xml'/],
    [['launch'], /no manifest to launch/],
    [['launch', minimal, '--trace=yes'], /--trace takes no value/],
    [['launch', minimal, '--max-instructions', 'many'], /--max-instructions wants a number/],
    [['launch', minimal, minimal], /one manifest at a time/],
    [['explain'], /say what the value is/],
    [['explain', 'polici', '1'], /did you mean policy\?/],
    [['explain', 'policy'], /no value to explain/],
    [['explain', 'policy', 'x'], /policy wants a number, not 'x'/],
    [['explain', 'policy', '-1'], /64 bits/],
    [['explain', 'npf', '0x10000000000000000'], /64 bits/],
    [['explain', 'errno', '1', '2'], /one value at a time/],
  ];
  for (const [args, message] of wrong) {
    it(`refuses: ${args.map((a) => (a === minimal ? 'MANIFEST' : a)).join(' ')}`, () => {
      const { status, out, err } = cli(...args);
      assert.match(err, message);
      assert.match(err, /Try 'sev-snp .*--help'\.\n$/);
      assert.equal(status, 2);
      assert.equal(out, '');
    });
  }

  it('reads numbers as manifests do', () => {
    const cases: [text: string, value: bigint | undefined][] = [
      ['0x30000', 0x30000n],
      ['196608', 196608n],
      ['-22', -22n],
      ['0x', undefined],
      ['', undefined],
      ['1e3', undefined],
      ['12abc', undefined],
    ];
    for (const [text, value] of cases) assert.equal(parseInteger(text), value, text);
  });

  it('ends with 2 and the help when there is no command', () => {
    const { status, out, err } = cliProcess([]);
    assert.equal(status, 2);
    assert.equal(out, '');
    assert.match(err, /^Usage: sev-snp COMMAND/);
  });
});
