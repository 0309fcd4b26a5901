import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseManifest } from '../../../../engine/launch/manifest/parse.js';

const GOOD = `# comment
snp: 1
host: { processor: milan, firmware: "1.55", kvm: 6.11, memory: 4GiB }
vm:
  vmm: qemu
  vcpus: 2
  cpu: EPYC-Milan-v2
  memory: 512MiB
  vmsa-features: 0x1
launch:
  policy: 0x30000
  gosvw: "00000000000000000000000000000001"
  update:
    - firmware: OVMF.fd
      kernel: bzImage
      initrd: initrd.img
      append: console=ttyS0
    - { gpa: 0x1000, type: normal, file: boot.bin, offset: 0, length: 4KiB }
    - { gpa: 0x2000, type: zero, length: 8KiB }
    - { gpa: 0x4000, type: unmeasured, file: params.bin }
    - { gpa: 0x5000, type: secrets }
    - { gpa: 0x6000, type: cpuid, leaves: [{ leaf: 0x80000008, eax: 0x3028 }] }
    - { type: vmsa, registers: { rip: 0x1000, cs: { base: 0, selector: 8 }, ds.limit: 0xffff } }
    - igvm: guest.igvm
  finish:
    id-block: { guest-svn: 7 }
    id-auth: id-auth.bin
    author-key: false
    vcek-disabled: true
    host-data: "${'ab'.repeat(32)}"
expect:
  digest: "${'cd'.repeat(48)}"
`;

/** Checks and the texts that they underline. */
function problems(text: string): string[] {
  const { problems: found } = parseManifest(text, 'a.snp.yaml');
  return found.map((p) => {
    assert.equal(p.at?.file, 'a.snp.yaml');
    const { start, end } = p.at.range;
    assert.ok(start >= 0 && start <= end && end <= text.length, `range ${start}..${end} of ${p.check}`);
    return `${p.check}: ${text.slice(start, end)}`;
  });
}

/** A manifest with this under `launch.update`, or with other text. */
const update = (entry: string): string => `snp: 1\nlaunch:\n  update:\n    - ${entry}\n`;
const vm = (fields: string): string => `snp: 1\nvm: { ${fields} }\nlaunch: {}\n`;

describe('manifest grammar', () => {
  it('reads every key', () => {
    const { tree, problems: found } = parseManifest(GOOD, 'a.snp.yaml');
    assert.deepEqual(found, []);
    assert.equal(tree.host.kvm?.value, '6.11');
    assert.equal(tree.vm.memory?.value, 2 ** 29);
    assert.equal(tree.vm.vmsaFeatures?.value, 1n);
    assert.deepEqual(tree.launch?.policy?.value, { kind: 'number', value: 0x30000n });
    assert.deepEqual(
      tree.launch?.update.map((u) => [u.index, u.kind]),
      [
        [0, 'firmware'],
        [1, 'pages'],
        [2, 'pages'],
        [3, 'pages'],
        [4, 'pages'],
        [5, 'pages'],
        [6, 'vmsa'],
        [7, 'igvm'],
      ],
    );
    const vmsa = tree.launch?.update[6];
    assert.ok(vmsa?.kind === 'vmsa');
    assert.deepEqual(
      vmsa.registers?.value.map((r) => [r.name.value, r.value.value]),
      [
        ['rip', 0x1000n],
        ['cs.base', 0n],
        ['cs.selector', 8n],
        ['ds.limit', 0xffffn],
      ],
    );
    const idBlock = tree.launch?.finish?.idBlock?.value;
    assert.ok(idBlock?.kind === 'fields');
    assert.equal(idBlock.fields.guestSvn, 7);
    assert.equal(tree.expect.digest?.value.length, 48);
  });

  it('gives every value its range', () => {
    const { tree } = parseManifest(GOOD, 'a.snp.yaml');
    const text = (range: { start: number; end: number } | undefined): string =>
      range ? GOOD.slice(range.start, range.end) : '';
    assert.equal(text(tree.vm.memory?.range), '512MiB');
    assert.equal(text(tree.vm.memory?.key), 'memory');
    assert.equal(text(tree.launch?.key), 'launch');
    assert.match(text(tree.launch?.update[0]?.range), /^firmware: OVMF\.fd[\s\S]*console=ttyS0$/);
    assert.match(text(tree.launch?.finish?.range), /^id-block[\s\S]*"$/);
  });

  it('reads JSON', () => {
    const text = JSON.stringify({ snp: 1, launch: { policy: '0x30000', update: [{ firmware: 'auto' }] } });
    const parsed = parseManifest(text, 'a.snp.json');
    assert.deepEqual(parsed.problems, []);
    assert.deepEqual(parsed.tree.launch?.policy?.value, { kind: 'number', value: 0x30000n });
  });

  it('takes a number, a map or a path as policy', () => {
    const policy = (text: string) =>
      parseManifest(`snp: 1\nlaunch: { policy: ${text} }`, 'a').tree.launch?.policy?.value;
    assert.deepEqual(policy('196608'), { kind: 'number', value: 0x30000n });
    assert.deepEqual(policy('strict.snp-policy.yaml'), { kind: 'file', path: 'strict.snp-policy.yaml' });
    const fields = policy('{ smt: true, debug: true, abi: "1.51" }');
    assert.ok(fields?.kind === 'fields');
    assert.equal(fields.value, 0xb0133n);
  });

  const wrong: readonly (readonly [string, string, readonly string[]])[] = [
    ['an empty file', '', ['manifest-missing-version: ', 'manifest-missing-launch: ']],
    ['only a comment', '# hello', ['manifest-missing-version: #', 'manifest-missing-launch: #']],
    ['no version', 'launch: {}', ['manifest-missing-version: launch: {}']],
    ['no launch', 'snp: 1', ['manifest-missing-launch: snp: 1']],
    ['another version', 'snp: 2\nlaunch: {}', ['manifest-out-of-range: 2']],
    ['a list', '- a\n- b', ['manifest-wrong-type: - a']],
    ['an unknown key', vm('vcpu: 4'), ['manifest-unknown-key: vcpu']],
    ['a duplicate key', vm('vcpus: 4, vcpus: 5'), ['manifest-duplicate-key: vcpus']],
    ['an empty value', 'snp: 1\nvm:\nlaunch: {}', ['manifest-missing-value: vm']],
    ['a wrong enum value', vm('cpu: EPYC-Milan-v9'), ['manifest-wrong-value: EPYC-Milan-v9']],
    ['a wrong case', vm('vmm: QEMU'), ['manifest-wrong-value: QEMU']],
    ['a size in MB', vm('memory: 512MB'), ['manifest-size-unit: 512MB']],
    ['no number', vm('vcpus: many'), ['manifest-not-a-number: many']],
    ['zero vCPUs', vm('vcpus: 0'), ['manifest-out-of-range: 0']],
    ['a negative address', update('{ gpa: -1, type: zero }'), ['manifest-out-of-range: -1']],
    [
      'an address above 2^52',
      update('{ gpa: 0xfffffffffffff000, type: zero }'),
      ['manifest-out-of-range: 0xfffffffffffff000'],
    ],
    ['a list as vm', 'snp: 1\nvm: [1]\nlaunch: {}', ['manifest-wrong-type: [1]']],
    ['yes for true', 'snp: 1\nlaunch: { finish: { author-key: yes } }', ['manifest-wrong-value: yes']],
    ['no hex', 'snp: 1\nlaunch: { gosvw: AAAA== }', ['manifest-hex-digits: AAAA==']],
    ['too little hex', 'snp: 1\nlaunch: { gosvw: "00" }', ['manifest-hex-length: "00"']],
    ['an entry of no kind', update('{ gpa: 0 }'), ['manifest-update-shape: { gpa: 0 }']],
    ['a misspelled type', update('{ gpa: 0, type: norml }'), ['manifest-wrong-value: norml']],
    ['an unknown register', update('{ type: vmsa, registers: { ripp: 0 } }'), ['manifest-unknown-key: ripp']],
    [
      'a register too wide',
      update('{ type: vmsa, registers: { mxcsr: 0x100000000 } }'),
      ['manifest-out-of-range: 0x100000000'],
    ],
    ['an unknown segment part', update('{ type: vmsa, registers: { cs: { bas: 0 } } }'), ['manifest-unknown-key: bas']],
    ['a VMSA of nothing', update('{ type: vmsa }'), ['manifest-vmsa-empty: { type: vmsa }']],
    ['a VMSA of both', update('{ type: vmsa, file: a, registers: {} }'), ['manifest-vmsa-both: file']],
    ['a file for zero pages', update('{ gpa: 0, type: zero, file: a }'), ['manifest-key-not-for-type: file']],
    ['no file for normal pages', update('{ gpa: 0, type: normal }'), ['manifest-missing-content: normal']],
    ['no address', update('{ type: secrets }'), ['manifest-missing-gpa: secrets']],
    [
      'leaves for normal pages',
      update('{ gpa: 0, type: normal, file: a, leaves: [] }'),
      ['manifest-key-not-for-type: leaves'],
    ],
    ['a bad ABI version', 'snp: 1\nlaunch: { policy: { abi: new } }', ['policy-abi-version: new']],
    ['an unknown policy field', 'snp: 1\nlaunch: { policy: { smtt: true } }', ['manifest-unknown-key: smtt']],
    ['a tab', 'snp: 1\nvm:\n\tvcpus: 1\nlaunch: {}', ['manifest-yaml-syntax: \t']],
    ['an open bracket', 'snp: 1\nlaunch: [', ['manifest-yaml-syntax: [']],
    ['a half line', 'snp: 1\nlaunch:\n  upd\n', ['manifest-wrong-type: upd']],
    ['a NUL', 'snp: 1\0', ['manifest-binary: \0']],
    ['an unknown alias', 'snp: *one\nlaunch: {}', ['manifest-bad-alias: *one']],
    ['two documents', 'snp: 1\nlaunch: {}\n---\nsnp: 1', ['manifest-yaml-syntax: ---\nsnp: 1']],
  ];
  for (const [name, text, expected] of wrong) it(`refuses ${name}`, () => assert.deepEqual(problems(text), expected));

  it('suggests what was meant', () => {
    const hints = (text: string): string[] => parseManifest(text, 'a').problems.map((p) => p.hint);
    assert.deepEqual(hints(vm('vcpu: 4')), ['Write `vcpus`.']);
    assert.deepEqual(hints(vm('memory: 512MB')), ['Write `512MiB`.']);
    assert.deepEqual(hints(vm('vmm: QEMU')), ['Write `qemu`.']);
    assert.deepEqual(hints(vm('cpu: EPYC-Millan-v2')), ['Write `EPYC-Milan-v2`.']);
  });

  it('reads CR LF and a byte order mark', () => {
    const text = `\ufeff${GOOD.replaceAll('\n', '\r\n')}`;
    const { tree, problems: found } = parseManifest(text, 'a');
    assert.deepEqual(found, []);
    const memory = tree.vm.memory;
    assert.equal(text.slice(memory?.range.start, memory?.range.end), '512MiB');
    const entry = tree.launch?.update[0];
    assert.ok(entry && text.slice(entry.range.start, entry.range.end).endsWith('append: console=ttyS0'));
  });

  it('follows an alias', () => {
    const text = 'snp: 1\nlaunch:\n  update:\n    - &a { gpa: 0, type: zero }\n    - *a\n';
    const { tree, problems: found } = parseManifest(text, 'a');
    assert.deepEqual(found, []);
    assert.equal(tree.launch?.update.length, 2);
  });
});

// Work that grows faster than the text would run into mocha's time limit here.
describe('manifest grammar: hostile input', () => {
  const quick = (text: string): string[] => {
    const found = problems(text);
    assert.ok(found.length > 0 && found.length < 300);
    return found;
  };
  it('survives deep brackets', () => void quick('['.repeat(200_000)));
  it('survives deep maps', () => void quick('{a: '.repeat(50_000)));
  it('survives deep dashes', () => void quick('- '.repeat(100_000)));
  it('survives deep indentation', () => {
    quick(Array.from({ length: 800 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'));
  });
  it('survives many keys', () => {
    quick(Array.from({ length: 30_000 }, (_, i) => `k${i}: 1`).join('\n'));
  });
  it('survives many entries', () => {
    quick(`snp: 1\nlaunch:\n  update:\n${'    - 1\n'.repeat(20_000)}`);
  });
  it('survives an alias bomb', () => {
    const levels = Array.from({ length: 20 }, (_, i) => `k${i}: &a${i} [${`*a${i - 1}, `.repeat(10)}]`);
    quick(levels.join('\n').replaceAll('*a-1', '1'));
  });
  it('survives an alias to itself', () => void quick('snp: 1\nlaunch: &a\n  update: [*a, *a]\n  finish: *a\n'));
  it('survives a huge file', () => {
    assert.deepEqual(quick('# x\n'.repeat(2_000_000)), ['manifest-too-large: #']);
  });
  it('survives a long line of dashes in a string', () => void quick(`snp: 1\nvm: "${'['.repeat(100_000)}"`));

  it('parses every prefix of a good manifest', function () {
    this.timeout(60_000);
    for (let i = 0; i <= GOOD.length; i++) problems(GOOD.slice(0, i));
  });

  it('never throws, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        problems(text);
      }),
    );
    const pieces = fc.constantFrom(
      ...[
        'snp: 1',
        'launch:',
        'update:',
        '- ',
        '  ',
        '\n',
        '{',
        '}',
        '[',
        ']',
        ': ',
        '&a ',
        '*a',
        '!!map ',
        '"',
        "'",
        '|',
        '>',
        '? ',
      ],
      ...['type: ', 'vmsa', 'gpa', '0x1000', '512MB', 'registers', '#', '---', '<<', 'null', '\t', '%YAML', '\r'],
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 40 }), (parts) => {
        problems(parts.join(''));
      }),
      { numRuns: 500 },
    );
  });

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        problems(new TextDecoder().decode(bytes));
      }),
    );
  });

  it('never throws on a good manifest with one character changed', () => {
    fc.assert(
      fc.property(
        fc.nat(GOOD.length - 1),
        fc.constantFrom('', ' ', '\n', '{', '[', '"', '*', '&', '-', ':', '\0'),
        (at, c) => {
          problems(GOOD.slice(0, at) + c + GOOD.slice(at + 1));
        },
      ),
      { numRuns: 300 },
    );
  });
});
