import assert from 'node:assert/strict';
import { check, findings } from '../../support/analyse.js';
import { tinyOvmf } from '../../support/tiny-ovmf.js';

const files = { '/ws/OVMF.fd': tinyOvmf(), '/ws/OTHER.fd': tinyOvmf() };
const launch = (...entries: readonly string[]): string =>
  `snp: 1\nlaunch:\n  policy: 0x30000\n  update:\n${entries.map((entry) => `    - ${entry}\n`).join('')}`;

describe('firmware rules', () => {
  it('two images are one mistake', () => {
    const found = findings(check(launch('firmware: OVMF.fd', 'firmware: OTHER.fd'), files));
    assert.deepEqual(found, ['lint-firmware-twice «OTHER.fd»']);
  });

  it('a page over the image is an overlap', () => {
    const found = findings(check(launch('firmware: OVMF.fd', '{ gpa: 0xfffff000, type: zero }'), files));
    assert.deepEqual(found, ['lint-page-overlap «0xfffff000»']);
  });

  it('a VMSA with other features than the VM is shown at its entry', () => {
    const entry = '{ type: vmsa, registers: { sev-features: 0x21 } }';
    const found = findings(check(launch('firmware: OVMF.fd', entry), files));
    assert.deepEqual(found, [`vmm-vmsa-features «${entry}»`]);
  });
});
