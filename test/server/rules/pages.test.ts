import assert from 'node:assert/strict';
import { check, findings, fixed } from '../../support/analyse.js';

const launch = (...entries: readonly string[]): string =>
  `snp: 1\nlaunch:\n  policy: 0x30000\n  update:\n${entries.map((entry) => `    - ${entry}\n`).join('')}`;

const SECRETS = '{ gpa: 0x10000, type: secrets }';
const CPUID = '{ gpa: 0x11000, type: cpuid }';

const cases: readonly { readonly title: string; readonly text: string; readonly expected: readonly string[] }[] = [
  {
    title: 'pages beside each other',
    text: launch('{ gpa: 0x1000, type: zero, length: 8KiB }', '{ gpa: 0x3000, type: zero }', SECRETS, CPUID),
    expected: [],
  },
  {
    title: 'overlapping pages: at the second entry',
    text: launch('{ gpa: 0x1000, type: zero, length: 8KiB }', '{ gpa: 0x2000, type: zero }', SECRETS, CPUID),
    expected: ['lint-page-overlap «0x2000»'],
  },
  {
    title: 'overlap where the second entry of the launch lies below',
    text: launch('{ gpa: 0x2000, type: zero }', '{ gpa: 0x1000, type: zero, length: 8KiB }', SECRETS, CPUID),
    expected: ['lint-page-overlap «0x1000»'],
  },
  {
    title: 'unaligned address',
    text: launch('{ gpa: 0x1234, type: zero }', SECRETS, CPUID),
    expected: ['lint-page-unaligned-gpa «0x1234»'],
  },
  {
    title: 'unaligned length',
    text: launch('{ gpa: 0x1000, type: zero, length: 5000 }', SECRETS, CPUID),
    expected: ['lint-page-unaligned-length «5000»'],
  },
  {
    title: 'length 0',
    text: launch('{ gpa: 0x1000, type: zero, length: 0 }', SECRETS, CPUID),
    expected: ['vmm-update-empty «{ gpa: 0x1000, type: zero, length: 0 }»'],
  },
  {
    title: 'neither secrets nor CPUID page',
    text: launch('{ gpa: 0x1000, type: zero }'),
    expected: ['lint-no-secrets-page «update»', 'lint-no-cpuid-page «update»'],
  },
];

describe('page rules', () => {
  for (const { title, text, expected } of cases) {
    it(title, () => assert.deepEqual(findings(check(text)), expected));
  }

  it('alignment is fixed with a click', () => {
    const gpa = launch('{ gpa: 0x1234, type: zero }', SECRETS, CPUID);
    assert.equal(fixed(check(gpa), 'lint-page-unaligned-gpa'), gpa.replace('0x1234', '0x1000'));
    assert.equal(fixed(check(gpa), 'lint-page-unaligned-gpa', /0x2000/), gpa.replace('0x1234', '0x2000'));
    const length = launch('{ gpa: 0x1000, type: zero, length: 5000 }', SECRETS, CPUID);
    assert.equal(fixed(check(length), 'lint-page-unaligned-length'), length.replace('5000', '0x2000'));
  });

  it('a missing page is added behind the last one, in the same style', () => {
    const text = launch('{ gpa: 0x1000, type: zero, length: 8KiB }');
    const once = fixed(check(text), 'lint-no-secrets-page');
    assert.equal(once, `${text}    - { gpa: 0x3000, type: secrets }\n`);
    const twice = fixed(check(once), 'lint-no-cpuid-page');
    assert.deepEqual(findings(check(twice)), []);
  });

  it('pages over the end of guest memory', () => {
    const text = `vm: { memory: 1MiB }\n${launch('{ gpa: 0xff000, type: zero, length: 8KiB }', SECRETS, CPUID)}`;
    const found = findings(check(text));
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(check(text).faults[0]?.message ?? '', /0x100000|1 ?MiB|memory/);
  });

  it('vcpus: 0 is refused, thousands are doubted', () => {
    assert.equal(check(`vm: { vcpus: 0 }\n${launch(SECRETS, CPUID)}`).faults[0]?.severity, 'error');
    assert.deepEqual(
      check(`vm: { vcpus: 2000 }\n${launch(SECRETS, CPUID)}`).faults.map((f) => f.check),
      ['vmm-vcpu-limit'],
    );
  });
});

describe('CPUID rule', () => {
  const leaves = (edx: string): string =>
    launch(
      '{ gpa: 0x1000, type: zero }',
      SECRETS,
      `{ gpa: 0x11000, type: cpuid, leaves: [{ leaf: 0x8000001d, subleaf: 3, edx: ${edx} }] }`,
    );

  it('leaf 0x8000001d index 3: provided edx 6, expected edx 2; fixed with a click', () => {
    const analysis = check(leaves('6'));
    const fault = analysis.faults.find((f) => f.check === 'lint-cpuid-corrected');
    assert.ok(fault, findings(analysis).join('\n'));
    assert.match(fault.message, /0x8000001d index 3: edx is 0x6.*accepts 0x2/);
    assert.equal(findings(analysis).length, 1, 'the dry run says the same and is not repeated');
    assert.equal(fixed(analysis, 'lint-cpuid-corrected'), leaves('0x2'));
    assert.deepEqual(findings(check(leaves('0x2'))), []);
  });
});

describe('expected digest', () => {
  const text = (digest: string): string =>
    `${launch('{ gpa: 0x1000, type: zero }', SECRETS, CPUID)}expect:\n  digest: "${digest}"\n`;

  it('a difference is an error, and the real digest is a click away', () => {
    const analysis = check(text('00'.repeat(48)));
    assert.deepEqual(
      analysis.faults.map((f) => `${f.severity} ${f.check}`),
      ['error lint-expect-digest'],
    );
    const right = fixed(analysis, 'lint-expect-digest');
    assert.deepEqual(findings(check(right)), []);
    assert.ok(analysis.digest && right.includes(Buffer.from(analysis.digest).toString('hex')));
  });
});
