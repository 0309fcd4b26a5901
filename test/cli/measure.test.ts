import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cli, cliProcess, samples } from './run-cli.js';

const minimal = join(samples, 'minimal.snp.yaml');
const image = join(samples, 'firmware/minimal.fd');
const kernel = join(samples, 'kernel/kernel.bin');
const initrd = join(samples, 'kernel/initrd.bin');

const measured = (...args: string[]): string => {
  const { status, out, err } = cli('measure', ...args);
  assert.equal(status, 0, err);
  assert.match(out, /^[0-9a-f]{96}\n$/);
  return out.trim();
};

describe('sev-snp measure', () => {
  it('prints the digest and nothing else', () => {
    const { status, out, err } = cliProcess(['measure', minimal]);
    assert.equal(status, 0);
    assert.match(out, /^[0-9a-f]{96}\n$/);
    assert.equal(err, '');
  });

  it('gives the same digest by flags as by manifest', () => {
    const base = ['--ovmf', image, '--vcpu-type', 'EPYC-Milan-v2'];
    assert.equal(measured(...base, '--vcpus', '1', '--guest-features', '0x1', '--vmm-type', 'QEMU'), measured(minimal));
    assert.equal(measured(...base), measured(minimal));
    const append = 'console=ttyS0 root=/dev/vda1';
    const flags = [...base, '--vcpus=2', '--kernel', kernel, '--initrd', initrd, '--append', append];
    assert.equal(measured(...flags), measured(join(samples, 'kernel-hashes.snp.yaml')));
  });

  it('depends on every flag', () => {
    const base = ['--ovmf', image, '--vcpus', '1', '--vcpu-type', 'EPYC-v4'];
    const digests = [
      measured(...base),
      measured('--ovmf', image, '--vcpus', '2', '--vcpu-type', 'EPYC-v4'),
      measured('--ovmf', image, '--vcpus', '1', '--vcpu-type', 'EPYC-Milan'),
      measured(...base, '--guest-features', '0x21'),
      measured(...base, '--vmm-type', 'ec2'),
      measured(...base, '--vmm-type', 'gce'),
      measured(...base, '--kernel', kernel),
      measured(...base, '--kernel', kernel, '--initrd', initrd),
      measured(...base, '--kernel', kernel, '--append', 'a'),
    ];
    assert.equal(new Set(digests).size, digests.length);
    assert.equal(measured(...base, '--mode', 'snp'), digests[0]);
    assert.equal(measured(...base, '--guest-features', '1', '--vmm-type', 'qemu'), digests[0]);
  });

  it('warns about --append and --initrd without --kernel', () => {
    const { status, out, err } = cli(
      'measure',
      '--ovmf',
      image,
      '--vcpu-type',
      'EPYC',
      '--append',
      'x',
      '--initrd',
      initrd,
    );
    assert.equal(status, 0);
    assert.match(out, /^[0-9a-f]{96}\n$/);
    assert.match(err, /warning: .*append/);
    assert.match(err, /warning: .*initrd/);
  });

  it('says which CPU model it took', () => {
    assert.match(cli('measure', '--ovmf', image).err, /note: --vcpu-type is not given, EPYC-Milan-v2 is taken/);
  });

  const refusals: [name: string, args: string[], message: RegExp][] = [
    ['a missing image', ['--ovmf', 'nowhere.fd'], /nowhere\.fd cannot be read: no such file/],
    ['a folder', ['--ovmf', samples], /it is a folder/],
    ['a missing kernel', ['--ovmf', image, '--kernel', 'nowhere'], /nowhere cannot be read/],
    ['a VARS file', ['--ovmf', join(samples, 'broken/firmware/vars.fd')], /variable store/],
    [
      'a kernel without hash area',
      ['--ovmf', join(samples, 'broken/firmware/no-kernel-hashes.fd'), '--kernel', kernel],
      /kernel/i,
    ],
    ['a manifest that is not there', ['nowhere.snp.yaml'], /cannot be read: no such file/],
    [
      'a manifest with errors',
      [join(samples, 'broken/firmware-missing.snp.yaml')],
      /firmware-missing\.snp\.yaml:\d+:\d+: error/,
    ],
  ];
  for (const [name, args, message] of refusals) {
    it(`refuses ${name} with status 1`, () => {
      const { status, out, err } = cli('measure', ...args);
      assert.equal(status, 1);
      assert.equal(out, '');
      assert.match(err, message);
    });
  }

  describe('expect.digest', () => {
    let folder: string;
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'sev-snp-measure-'));
    });
    after(() => rmSync(folder, { recursive: true }));

    it('is told when it differs', () => {
      const text = readFileSync(minimal, 'utf8').replace('firmware/minimal.fd', image);
      const file = join(folder, 'a.snp.yaml');
      writeFileSync(file, `${text}expect:\n  digest: "${'0'.repeat(96)}"\n`);
      const { status, out, err } = cli('measure', file);
      assert.equal(status, 0);
      assert.equal(out.trim(), measured(minimal));
      assert.match(err, /expect\.digest of the manifest is another one: 0000/);
    });
  });
});
