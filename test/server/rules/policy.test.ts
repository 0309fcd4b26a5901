import assert from 'node:assert/strict';
import { fixesOf } from '../../../server/analysis.js';
import { check, findings, fixed } from '../../support/analyse.js';

const manifest = (policy: string, host = ''): string =>
  `snp: 1\n${host}launch:\n  policy: ${policy}\n  update:\n    - { gpa: 0x1000, type: zero }\n    - { gpa: 0x2000, type: secrets }\n    - { gpa: 0x3000, type: cpuid }\n`;

const host = (kvm: string, firmware = '1.55', processor = 'milan'): string =>
  `host: { kvm: "${kvm}", firmware: "${firmware}", processor: ${processor} }\n`;

const checks = (text: string, path?: string): string[] => check(text, {}, path).faults.map((fault) => fault.check);

describe('policy rules', () => {
  it('has nothing to say about the usual policy', () => {
    assert.deepEqual(findings(check(manifest('0x30000'))), []);
    assert.deepEqual(findings(check(manifest('0xb0000'))), []);
    assert.deepEqual(findings(check(manifest('{ smt: true, abi: "1.51" }'))), []);
    assert.deepEqual(findings(check('snp-policy: 1\nvalue: 0x30000\nsmt: true\n', {}, '/ws/p.snp-policy.yaml')), []);
  });

  it('0x300000: did you mean 0x30000, and every wrong bit', () => {
    const analysis = check(manifest('0x300000'));
    const found = analysis.faults.map((f) => f.check);
    assert.deepEqual(found, ['lint-policy-did-you-mean'], 'one mistake, one error');
    assert.match(analysis.faults[0]?.message ?? '', /did you mean 0x30000\?/);
    assert.ok(
      analysis.faults.every((f) => f.at && analysis.text.slice(f.at.range.start, f.at.range.end) === '0x300000'),
    );
    const text = analysis.faults.map((f) => `${f.title} ${f.message}`).join('\n');
    for (const bit of [16, 17, 20, 21]) assert.match(text, new RegExp(`\\b${bit}\\b`), `bit ${bit}`);
    for (const name of found) assert.equal(fixed(analysis, name, /0x30000$/), manifest('0x30000'), name);
  });

  const slips: readonly (readonly [string, string])[] = [
    ['0x3000', '0x30000'],
    ['0x300', '0x30000'],
    ['0x3000000', '0x30000'],
    ['30000', '0x30000'],
    ['0xb00000', '0xb0000'],
  ];
  for (const [written, meant] of slips) {
    it(`${written}: did you mean ${meant}`, () => {
      const analysis = check(manifest(written));
      assert.equal(fixed(analysis, 'lint-policy-did-you-mean'), manifest(meant));
    });
  }

  it('a policy that is fine is no slip of another one', () => {
    assert.ok(!checks(manifest('0x130000', host('6.18'))).includes('lint-policy-did-you-mean'));
    assert.deepEqual(checks(manifest('0x130000', host('6.18'))), []);
  });

  for (const sev of ['0x1', '0x5', '5', '0x7', '0x3']) {
    it(`${sev}: a policy of SEV or SEV-ES`, () => {
      const analysis = check(manifest(sev));
      assert.ok(analysis.faults.some((f) => f.check === 'lint-policy-sev-style'));
      assert.equal(fixed(analysis, 'lint-policy-sev-style'), manifest('0x30000'));
    });
  }

  it('missing bit 17 (debug policy written as 0x90000)', () => {
    const analysis = check(manifest('0x90000'));
    assert.match(analysis.faults.map((f) => f.message).join('\n'), /bit 17/i);
    const name = analysis.faults[0]?.check ?? '';
    assert.equal(fixed(analysis, name, /only the wrong bits/), manifest('0xb0000'));
  });

  it('missing bit 16', () => {
    const analysis = check(manifest('0x20000'));
    assert.match(analysis.faults.map((f) => f.message).join('\n'), /bit 16|SMT/i);
    assert.equal(fixed(analysis, analysis.faults[0]?.check ?? '', /only the wrong bits/), manifest('0x30000'));
  });

  it('the firmware is older than the ABI that the policy demands', () => {
    const analysis = check(manifest('0x3013a', host('6.11', '1.55')));
    assert.ok(analysis.faults.some((f) => f.check === 'fw-policy-abi'));
    assert.equal(fixed(analysis, 'fw-policy-abi'), manifest('0x30137', host('6.11', '1.55')));
  });

  it('is judged by the KVM release of the manifest', () => {
    assert.deepEqual(checks(manifest('0x130000', host('6.18'))), []);
    assert.notDeepEqual(checks(manifest('0x130000', host('6.11'))), []);
    assert.notDeepEqual(checks(manifest('0x130000', host('v15'))), []);
  });

  it('in a map the fault stands at the field, and the fix changes it', () => {
    const text = manifest('{ smt: false, debug: true }');
    const analysis = check(text);
    assert.ok(
      findings(analysis).every((f) => f.endsWith('«smt: false»')),
      findings(analysis).join('\n'),
    );
    assert.ok(analysis.faults.length > 0);
    assert.equal(fixed(analysis, analysis.faults[0]?.check ?? ''), manifest('{ smt: true, debug: true }'));
  });

  it('in a map a missing field is added', () => {
    const analysis = check(manifest('{ debug: true }'));
    assert.equal(fixed(analysis, analysis.faults[0]?.check ?? ''), manifest('{ smt: true, debug: true }'));
    const block = manifest('\n    debug: true');
    assert.equal(
      fixed(check(block), check(block).faults[0]?.check ?? ''),
      manifest('\n    smt: true\n    debug: true'),
    );
  });

  it('in a policy file', () => {
    const path = '/ws/p.snp-policy.yaml';
    const analysis = check('snp-policy: 1\nvalue: 0x300000\n', {}, path);
    assert.equal(fixed(analysis, 'lint-policy-did-you-mean'), 'snp-policy: 1\nvalue: 0x30000\n');
    const both = check('snp-policy: 1\nvalue: 0x20000\nsmt: false\n', {}, path);
    assert.equal(
      fixed(both, both.faults[0]?.check ?? '', /only the wrong bits/),
      'snp-policy: 1\nvalue: 0x30000\nsmt: true\n',
    );
  });

  it('in a policy file that a manifest names: one fault, at its place in the policy file, with the fix there', () => {
    const file = '/ws/p.snp-policy.yaml';
    for (const [text, found, mended] of [
      ['snp-policy: 1\nvalue: 0x300000\n', '0x300000', 'snp-policy: 1\nvalue: 0x30000\n'],
      ['snp-policy: 1\nvalue: 0x1\n', '0x1', 'snp-policy: 1\nvalue: 0x30000\n'],
      ['snp-policy: 1\nsmt: false\n', 'smt: false', 'snp-policy: 1\nsmt: true\n'],
    ] as const) {
      const analysis = check(manifest('p.snp-policy.yaml'), { [file]: text });
      assert.equal(analysis.faults.length, 1, findings(analysis).join('\n'));
      const [fault] = analysis.faults;
      assert.ok(fault?.at);
      assert.equal(fault.at.file, file);
      assert.equal(text.slice(fault.at.range.start, fault.at.range.end), found);
      const [fix] = fixesOf(analysis, fault);
      assert.deepEqual(new Set(fix?.changes.map((change) => change.file)), new Set([file]));
      let after: string = text;
      for (const { range, newText } of fix?.changes ?? []) {
        after = after.slice(0, range.start) + newText + after.slice(range.end);
      }
      assert.equal(after, mended);
    }
  });

  it('says each wrong bit once, although KVM and firmware both refuse it and the dry run fails there', () => {
    const analysis = check(manifest('0x0'));
    const messages = analysis.faults.map((f) => f.check);
    assert.equal(new Set(messages).size, messages.length, messages.join(', '));
    assert.ok(analysis.failure, 'the dry run fails');
  });

  it('debugging together with host data is a warning', () => {
    const text = `${manifest('0xb0000')}  finish:\n    host-data: "${'01'.repeat(32)}"\n`;
    const analysis = check(text);
    assert.deepEqual(
      analysis.faults.map((f) => `${f.severity} ${f.check}`),
      ['warning lint-debug-policy'],
    );
    assert.equal(fixed(analysis, 'lint-debug-policy'), text.replace('0xb0000', '0x30000'));
  });
});
