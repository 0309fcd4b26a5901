import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cli, samples } from './run-cli.js';

const LINE = (policy: string): string => `#!/bin/sh
FIRMWARE=minimal.fd
exec qemu-system-x86_64 -enable-kvm -smp 2 -cpu EPYC-Milan-v2 \\
  -machine q35,confidential-guest-support=sev0 -m 64 \\
  -object sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,policy=${policy} \\
  -bios "$FIRMWARE" -nographic
`;
const DOMAIN = `<domain type='kvm'>
  <memory unit='MiB'>64</memory>
  <vcpu>2</vcpu>
  <os><loader type='rom'>minimal.fd</loader></os>
  <cpu mode='custom'><model>EPYC-Milan-v2</model></cpu>
  <launchSecurity type='sev-snp'><policy>0x00030000</policy></launchSecurity>
</domain>
`;

describe('sev-snp import and export', () => {
  let folder = '';
  const file = (name: string): string => join(folder, name);
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sev-snp-import-'));
    copyFileSync(join(samples, 'firmware/minimal.fd'), file('minimal.fd'));
    writeFileSync(file('run.sh'), LINE('0x30000'));
    writeFileSync(file('bad.sh'), LINE('0x20000'));
    writeFileSync(file('wrong.sh'), LINE('0x30000,foo=1'));
    writeFileSync(file('guest.xml'), DOMAIN);
    writeFileSync(file('notes.txt'), 'nothing to launch\n');
  });
  after(() => rmSync(folder, { recursive: true }));

  it('a command line, a domain and their manifest have one digest', () => {
    const { status, out } = cli('import', file('run.sh'));
    assert.equal(status, 0);
    assert.match(out, /vcpus: 2\n[\s\S]*- firmware: minimal\.fd\n[\s\S]*# {3}-nographic\n/);
    writeFileSync(file('run.snp.yaml'), out);
    const digests = ['run.sh', 'guest.xml', 'run.snp.yaml'].map((name) => cli('measure', file(name)));
    for (const digest of digests) assert.equal(digest.status, 0, digest.err);
    assert.match(digests[0]?.out ?? '', /^[0-9a-f]{96}\n$/);
    assert.equal(new Set(digests.map((digest) => digest.out)).size, 1);
  });

  it('a command line is launched', () => {
    const { status, out, err } = cli('launch', '--max-instructions', '0', file('run.sh'));
    assert.equal(status, 0, err);
    assert.equal(`${/launch digest (\w+)/.exec(out)?.[1]}\n`, cli('measure', file('run.sh')).out);
  });

  it('a refused launch points into the command line', () => {
    const { status, err } = cli('launch', file('bad.sh'));
    assert.equal(status, 1);
    assert.match(err, /bad\.sh:5:71: error: KVM_SEV_SNP_LAUNCH_START/);
    assert.match(err, /-object sev-snp-guest.*policy=0x20000/);
  });

  it('what QEMU refuses is refused, also by measure, and import still prints the manifest', () => {
    const measured = cli('measure', file('wrong.sh'));
    assert.deepEqual([measured.status, measured.out], [1, '']);
    assert.match(measured.err, /wrong\.sh:5:\d+: error: QEMU: "-object sev-snp-guest: Invalid parameter 'foo'"/);
    const imported = cli('import', file('wrong.sh'));
    assert.equal(imported.status, 1);
    assert.match(imported.out, /^# Imported from wrong\.sh\.\nsnp: 1\n/);
  });

  it('what is neither is refused', () => {
    assert.match(cli('import', file('notes.txt')).err, /holds no QEMU command line/);
    assert.equal(cli('import', join(samples, 'minimal.snp.yaml')).status, 1);
    assert.equal(cli('import', file('none')).status, 1);
    assert.equal(cli('import').status, 2);
    assert.equal(cli('export').status, 2);
    assert.equal(cli('export', file('run.sh'), '--format', 'virsh').status, 2);
  });

  it('export prints a command line that measures the same', () => {
    writeFileSync(file('m.snp.yaml'), cli('import', file('run.sh')).out);
    const { status, out } = cli('export', file('m.snp.yaml'), '--format', 'qemu');
    assert.equal(status, 0);
    writeFileSync(file('again.sh'), out);
    assert.equal(cli('measure', file('again.sh')).out, cli('measure', file('run.sh')).out);
  });

  it('export tells what QEMU cannot load', () => {
    const { status, out, err } = cli('export', join(samples, 'pages.snp.yaml'), '--format', 'qemu');
    assert.deepEqual([status, out], [1, '']);
    assert.match(err, /vmm-export-not-possible/);
  });
});
