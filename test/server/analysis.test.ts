import assert from 'node:assert/strict';
import fc from 'fast-check';
import { analyse, fixesOf } from '../../server/analysis.js';
import { codeLenses } from '../../server/features/code-lens.js';
import { completions } from '../../server/features/completion.js';
import { diagnosticsOf } from '../../server/features/diagnostics.js';
import { documentLinks } from '../../server/features/document-links.js';
import { hover } from '../../server/features/hover.js';
import { check, findings } from '../support/analyse.js';
import { memoryFiles } from '../support/memory-files.js';

const MANIFEST = `snp: 1
host:
  processor: milan
  kvm: "6.11"
vm:
  vcpus: 2
  cpu: EPYC-Milan-v2
  memory: 16MiB
launch:
  policy:
    smt: true
    debug: true
  gosvw: "00000000000000000000000000000000"
  update:
    - { gpa: 0x1000, type: normal, file: boot.bin, length: 4KiB }
    - gpa: 0x2000
      type: zero
      length: 8KiB
    - { gpa: 0x5000, type: secrets }
    - { gpa: 0x6000, type: cpuid, leaves: [{ leaf: 1, eax: 0xa00f11 }] }
    - { type: vmsa, registers: { rip: 0x1000 } }
  finish:
    host-data: "0000000000000000000000000000000000000000000000000000000000000000"
expect:
  digest: "00"
`;

const FILES = { '/ws/boot.bin': new Uint8Array(4096).fill(0x90) };

/** Every feature at every interesting place; any exception fails. */
function exercise(text: string, path: string): void {
  const analysis = check(text, FILES, path);
  for (const fault of analysis.faults) {
    assert.notEqual(fault.check, 'lint-internal-error', fault.message);
    assert.ok(fault.at, fault.check);
    const { start, end } = fault.at.range;
    assert.ok(start >= 0 && start <= end && end <= text.length, `${fault.check} at ${start}..${end} of ${text.length}`);
    fixesOf(analysis, fault);
  }
  diagnosticsOf(analysis);
  codeLenses(analysis, 'file:///ws/test.snp.yaml');
  documentLinks(analysis);
  for (const offset of [0, text.length >> 1, text.length]) {
    hover(analysis, offset);
    completions(analysis, analysis.lines.positionAt(offset));
  }
}

describe('analysis', () => {
  it('survives random edits of a manifest', () => {
    const edit = fc.record({
      at: fc.nat(MANIFEST.length),
      remove: fc.nat(40),
      insert: fc.oneof(
        fc.string({ maxLength: 12 }),
        fc.constantFrom(
          '0x',
          '\n',
          '  - ',
          '{',
          '}',
          '[',
          ': ',
          '"',
          '0xffffffffffffffff',
          '-1',
          '1e9',
          'null',
          '&a',
          '*a',
        ),
        fc.constantFrom('firmware: boot.bin', 'igvm: boot.bin', 'type: vmsa', 'length: 512MiB', 'id-block: boot.bin'),
      ),
    });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        let text = MANIFEST;
        for (const { at, remove, insert } of edits) text = text.slice(0, at) + insert + text.slice(at + remove);
        exercise(text, '/ws/test.snp.yaml');
      }),
      { numRuns: 150 },
    );
  });

  it('survives any text, as a manifest and as a policy', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.boolean(), (text, policy) => {
        exercise(text, policy ? '/ws/p.snp-policy.yaml' : '/ws/test.snp.json');
      }),
      { numRuns: 150 },
    );
  });

  it('reports its own breakdown as a bug, and goes on', () => {
    const files = memoryFiles(FILES);
    const analysis = analyse({
      text: MANIFEST,
      path: '/ws/test.snp.yaml',
      files: {
        ...files,
        read() {
          throw new TypeError('broken disk');
        },
      },
    });
    const bug = analysis.faults.find((fault) => fault.check === 'lint-internal-error');
    assert.match(bug?.message ?? '', /broken disk.*bug of SEV-SNP Workbench/);
    assert.ok(
      analysis.faults.some((fault) => fault.check.startsWith('manifest-')),
      'the grammar is still checked',
    );
  });

  it('remembers what it depends on, also what is missing', () => {
    const analysis = check(MANIFEST.replace('boot.bin', 'gone.bin'), FILES);
    assert.ok(analysis.dependencies.has('/ws/gone.bin'));
    assert.ok(findings(analysis).some((f) => f.endsWith('«gone.bin»')));
  });

  it('does not try out a launch that would stop the editor', () => {
    const text = `snp: 1\nvm: { memory: 2GiB }\nlaunch:\n  update:\n    - { gpa: 0, type: zero, length: 2GiB }\n`;
    const analysis = check(text);
    assert.ok(analysis.faults.some((fault) => fault.check === 'lint-launch-too-large-to-try'));
    assert.equal(analysis.digest, undefined);
  });

  it('gives the digest also when a check refuses the launch', () => {
    const fine = check(MANIFEST.replace(/expect:[\s\S]*$/, ''), FILES);
    const refused = check(MANIFEST.replace(/expect:[\s\S]*$/, '').replace('smt: true', 'smt: false'), FILES);
    assert.ok(fine.digest && !fine.failure, findings(fine).join('\n'));
    assert.ok(refused.failure);
    assert.deepEqual(refused.digest, fine.digest, 'the policy is not measured');
  });
});
