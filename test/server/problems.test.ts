import assert from 'node:assert/strict';
import { encodeIdBlock } from '../../engine/asp/id-block.js';
import type { Fault } from '../../engine/fault.js';
import { diagnosticText } from '../../server/features/diagnostics.js';
import { check, fixed } from '../support/analyse.js';
import { TINY_SECTIONS, tinyOvmf } from '../support/tiny-ovmf.js';

/** Problems that people reported in public trackers: the linter must name the cause where it stands. */

const policy = (value: string, host = ''): string =>
  `snp: 1\n${host}launch:\n  policy: ${value}\n  update:\n    - firmware: OVMF.fd\n`;

const withFirmware = (entry: string, rest = ''): string =>
  `snp: 1\nvm: { vcpus: 2 }\nlaunch:\n  policy: 0x30000\n  update:\n    - ${entry}\n${rest}`;

const HASHES = { base: 0x81_0c00, size: 0x400 };
const AMDSEV = tinyOvmf({
  sections: [...TINY_SECTIONS, { base: 0x81_0000, size: 0x1000, type: 0x10 }],
  hashTable: HASHES,
});
const FILES = {
  '/ws/OVMF.fd': tinyOvmf(),
  '/ws/OVMF.amdsev.fd': AMDSEV,
  '/ws/bzImage': new Uint8Array(5000).fill(1),
  '/ws/initrd.img': new Uint8Array(100).fill(2),
};

/** The errors and warnings, each as the text that the editor shows. */
function texts(text: string, files: Readonly<Record<string, Uint8Array | string>> = FILES): string[] {
  return check(text, files).faults.map(diagnosticText);
}

function expectOne(found: readonly string[], ...patterns: readonly RegExp[]): void {
  const hit = found.find((text) => patterns.every((pattern) => pattern.test(text)));
  assert.ok(hit, `none of these matches ${patterns.join(' and ')}:\n${found.join('\n\n') || '(nothing)'}`);
}

describe('problems of real users', () => {
  it('1: debugging enabled, but the reserved bit 17 forgotten', () => {
    const text = policy('0x90000');
    expectOne(texts(text), /bit 17/i, /To fix: .*0xb0000/);
    assert.equal(fixed(check(text, FILES), 'kvm-policy-reserved-one'), policy('0xb0000'));
  });

  it('2: 0x300000 for 0x30000', () => {
    const text = policy('0x300000');
    expectOne(texts(text), /did you mean 0x30000\?/, /bits 20 \(SINGLE_SOCKET\) and 21 \(CXL_ALLOW\)/);
    assert.equal(fixed(check(text, FILES), 'lint-policy-did-you-mean'), policy('0x30000'));
  });

  it('4: fw_error 7, "Policy is not allowed": which bit, minimum ABI, SMT', () => {
    const host = 'host: { kvm: "6.18", firmware: "1.53" }\n';
    expectOne(texts(policy('0x30137', host)), /1\.55/, /1\.53/, /POLICY_FAILURE/, /To fix/);
    expectOne(texts(policy('0x20000', host)), /bit 16 \(SMT\)/i, /POLICY_FAILURE/);
    expectOne(texts(policy('0x1030000', host)), /24/, /-EINVAL|POLICY_FAILURE/);
  });

  it('11: CPUID validation failed for function 0x8000001d index 3, provided edx 6 expected edx 2', () => {
    const text = `snp: 1\nlaunch:\n  update:\n    - gpa: 0x1000\n      type: cpuid\n      leaves:\n        - { leaf: 0x8000001d, subleaf: 3, edx: 6 }\n    - { gpa: 0x2000, type: secrets }\n`;
    expectOne(texts(text), /0x8000001d/, /index 3/, /edx/, /0x6/, /0x2/);
    assert.equal(fixed(check(text), 'lint-cpuid-corrected'), text.replace('edx: 6', 'edx: 0x2'));
  });

  it('13: INVALID_PARAM at LAUNCH_FINISH with an identity block', () => {
    const base = withFirmware('firmware: OVMF.fd');
    const { digest } = check(base, FILES);
    assert.ok(digest);
    const block = encodeIdBlock({
      ld: digest,
      familyId: new Uint8Array(16),
      imageId: new Uint8Array(16),
      version: 0,
      guestSvn: 0,
      policy: 0x3_0000n,
    });
    const text = `${base}  finish:\n    id-block: id.bin\n    id-auth: auth.bin\n`;
    const files = { ...FILES, '/ws/id.bin': block, '/ws/auth.bin': new Uint8Array(4096) };
    expectOne(texts(text, files), /version/i, /\b0\b/, /To fix/);
    const old = `host: { firmware: "1.51" }\n${text}`;
    const valid = { ...files, '/ws/id.bin': block.map((b, i) => (i === 0x50 ? 1 : b)) };
    const found = texts(old, { ...valid, '/ws/auth.bin': new Uint8Array(4096).map((_, i) => (i === 0 ? 1 : 0)) });
    expectOne(found, /author key/i, /1\.51/, /INVALID_PARAM/, /not confirmed/);
    expectOne(texts(text, { ...files, '/ws/id.bin': new Uint8Array(4096) }), /4096 bytes, not 96/);
  });

  it('17: another digest than expected: what is measured is said', () => {
    const { digest } = check(withFirmware('firmware: OVMF.fd'), FILES);
    assert.ok(digest);
    const expected = `expect:\n  digest: "${Buffer.from(digest).toString('hex')}"\n`;
    assert.deepEqual(texts(withFirmware('firmware: OVMF.fd', expected)), []);
    const other = withFirmware('firmware: OVMF.amdsev.fd', expected);
    expectOne(texts(other), /launch digest is/, /2 vCPUs/, /vm\.vcpus/);
    expectOne(texts(withFirmware('firmware: OVMF.fd', expected).replace('vcpus: 2', 'vcpus: 3')), /3 vCPUs/);
  });

  it('20: kernel given, but no SNP_KERNEL_HASHES section, or no hash table area', () => {
    const text = withFirmware('{ firmware: OVMF.fd, kernel: bzImage }');
    expectOne(texts(text), /SNP_KERNEL_HASHES/, /AmdSev/);
    const empty = tinyOvmf({
      sections: [...TINY_SECTIONS, { base: 0x81_0000, size: 0x1000, type: 0x10 }],
      hashTable: { base: 0, size: 0 },
    });
    expectOne(texts(text, { ...FILES, '/ws/OVMF.fd': empty }), /base=0x0 size=0x0/, /AmdSev/);
    assert.deepEqual(texts(withFirmware('{ firmware: OVMF.amdsev.fd, kernel: bzImage }')), []);
  });

  it('21: no SEV-ES reset block, no table, no metadata', () => {
    const text = withFirmware('firmware: OVMF.fd');
    const blank = new Uint8Array(0x1_0000);
    expectOne(texts(text, { '/ws/OVMF.fd': blank }), /96b582de/, /To fix/);
    const broken = tinyOvmf();
    const guid = [0xde, 0x71, 0xf7, 0x00];
    for (let i = 0; i + 4 < broken.length; i++) if (guid.every((b, j) => broken[i + j] === b)) broken[i] = 0;
    expectOne(texts(text, { '/ws/OVMF.fd': broken }), /reset block/i, /00f771de/);
  });

  it('23: initrd and append without kernel', () => {
    const text = withFirmware('firmware: OVMF.amdsev.fd\n      initrd: initrd.img\n      append: quiet');
    const analysis = check(text, FILES);
    expectOne(analysis.faults.map(diagnosticText), /initrd and append are ignored/, /kernel/);
    assert.equal(fixed(analysis, 'image-kernel-missing'), withFirmware('firmware: OVMF.amdsev.fd'));
  });

  it('every diagnostic of these names a change to make', () => {
    for (const value of ['0x0', '0x300000', '0x90000', '0x20000', '0x1000030000']) {
      for (const fault of check(policy(value), FILES).faults as readonly Fault[]) {
        assert.match(diagnosticText(fault), /To fix: \S/, fault.check);
      }
    }
  });
});
