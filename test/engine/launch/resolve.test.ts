import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decodeCpuidPage } from '../../../engine/asp/cpuid-table.js';
import { decodeIdBlock } from '../../../engine/asp/id-block.js';
import { equalBytes, toHex } from '../../../engine/bytes.js';
import { parseManifest } from '../../../engine/launch/manifest/parse.js';
import { measurePlan } from '../../../engine/launch/measure.js';
import type { LaunchPlan } from '../../../engine/launch/plan.js';
import { resolvePlan } from '../../../engine/launch/resolve.js';
import { vmsaField } from '../../../engine/launch/vmsa/build.js';
import { pageTypeName } from '../../../engine/spec/page-type.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';
import { type MemoryFiles, memoryFiles } from '../../support/memory-files.js';
import { tinyOvmf } from '../../support/tiny-ovmf.js';

const FILE = '/w/a.snp.yaml';

const HASHES = {
  sections: [{ base: 0x81_0000, size: 0x1000, type: 0x10 }],
  hashTable: { base: 0x81_0c00, size: 0x400 },
};
const FILES: Readonly<Record<string, Uint8Array | string>> = {
  '/w/OVMF.fd': tinyOvmf(),
  '/w/hashes.fd': tinyOvmf(HASHES),
  '/w/small.fd': tinyOvmf({ size: 0x1000 }),
  '/w/cut.fd': tinyOvmf().subarray(0x800),
  '/w/zeros.fd': new Uint8Array(0x1_0000),
  '/w/odd.fd': tinyOvmf({ sections: [{ base: 0x80_0000, size: 0x800, type: 1 }] }),
  '/w/new-type.fd': tinyOvmf({ sections: [{ base: 0x80_0000, size: 0x1000, type: 7 }] }),
  '/w/k': 'kernel',
  '/w/boot.bin': new Uint8Array(5000).fill(0x90),
  '/w/vmsa.bin': new Uint8Array(4096).fill(1),
  '/w/id-block.bin': new Uint8Array(96).fill(2),
  '/w/id-auth.bin': new Uint8Array(4096).fill(3),
  '/w/strict.snp-policy.yaml': 'snp-policy: 1\nsmt: true\ndebug: true\n',
  '/w/bad.snp-policy.yaml': 'snp-policy: 1\nvalue: 0x30000\ndebug: true\n',
  '/w/empty.snp-policy.yaml': '',
};

function resolve(text: string, files: MemoryFiles = memoryFiles(FILES, { untrusted: ['/etc'] })) {
  const parsed = parseManifest(text, FILE);
  const { plan, faults } = resolvePlan(parsed, files, nativeCrypto);
  return { plan, faults, parsed };
}

function planOf(text: string, files?: MemoryFiles): LaunchPlan {
  const { plan, faults, parsed } = resolve(text, files);
  assert.ok(plan, [...parsed.problems, ...faults].map((f) => f.message).join('\n'));
  return plan;
}

/** `check: underlined text` of what resolving found. */
function found(text: string): string[] {
  return resolve(text).faults.map((f) => {
    assert.equal(f.at?.file, FILE);
    return `${f.check}: ${text.slice(f.at.range.start, f.at.range.end)}`;
  });
}

const update = (entry: string): string => `snp: 1\nlaunch:\n  update:\n    - ${entry}\n`;
const launch = (fields: string): string => `snp: 1\nlaunch: { update: [{ gpa: 0, type: zero }], ${fields} }\n`;

describe('resolving a manifest', () => {
  it('fills in every default', () => {
    const plan = planOf('snp: 1\nlaunch: { update: [{ firmware: OVMF.fd }] }');
    assert.equal(plan.host.processor.name, 'milan');
    assert.equal(plan.host.firmware.minor, 55);
    assert.equal(plan.host.kvm.release, '6.11');
    assert.equal(plan.host.memory, 4 * 2 ** 30);
    assert.deepEqual(plan.vm, { vmm: 'qemu', vcpus: 1, cpu: 'EPYC-Milan-v2', memory: 2 ** 29, vmsaFeatures: 1n });
    assert.equal(plan.start.policy, 0x30000n);
    assert.equal(plan.start.gosvw.length, 16);
    assert.deepEqual(plan.finish, { authorKey: false, vcekDisabled: false, hostData: new Uint8Array(32) });
    assert.deepEqual(plan.expect, {});
  });

  it('orders the entries as the VMM reaches them, each with its place', () => {
    const text = `snp: 1
host: { kvm: v15 }
vm:
  vcpus: 1
  memory: 256MiB
launch:
  policy: 0x30000
  update:
    - firmware: OVMF.fd
    - { gpa: 0x1000, type: normal, file: boot.bin }
  finish:
    vcek-disabled: true
`;
    const plan = planOf(text);
    assert.deepEqual(
      plan.entries.map((e) => [e.kind, e.label, text.slice(e.at.range.start, e.at.range.end)]),
      [
        ['host', 'host', 'host: { kvm: v15 }'],
        ['vm', 'vm', 'vm:\n  vcpus: 1\n  memory: 256MiB'],
        ['start', 'start', 'policy: 0x30000'],
        ['memory', 'memory', 'memory: 256MiB'],
        ['update', 'update 1: firmware OVMF.fd', 'firmware: OVMF.fd'],
        ['update', 'update 2: normal boot.bin at 0x1000', '{ gpa: 0x1000, type: normal, file: boot.bin }'],
        ['finish', 'finish', 'finish:\n    vcek-disabled: true'],
      ],
    );
    for (const u of plan.updates) assert.equal(plan.entries[u.entry]?.kind, 'update');
  });

  it('places what is left out', () => {
    const text = 'snp: 1\nlaunch:\n  update: [{ firmware: OVMF.fd }]\n';
    const at = Object.fromEntries(
      planOf(text).entries.map((e) => [e.kind, text.slice(e.at.range.start, e.at.range.end)]),
    );
    assert.deepEqual(at, {
      host: 'snp: 1',
      vm: 'snp: 1',
      start: 'launch',
      memory: 'snp: 1',
      update: '{ firmware: OVMF.fd }',
      finish: 'launch',
    });
  });

  const types = (plan: LaunchPlan): string[] =>
    plan.updates.map((u) => `${pageTypeName(u.type)} ${u.gpa.toString(16)}+${u.length.toString(16)}`);

  it('expands a firmware image', () => {
    const plan = planOf(update('firmware: OVMF.fd'));
    assert.deepEqual(types(plan), [
      'NORMAL ffff0000+10000',
      'ZERO 800000+2000',
      'SECRETS 80d000+1000',
      'CPUID 80e000+1000',
    ]);
    assert.deepEqual(
      plan.updates.map((u) => u.label),
      ['/w/OVMF.fd', 'SEV metadata: SEC_MEM', 'SEV metadata: SECRETS', 'SEV metadata: CPUID'],
    );
    assert.equal(plan.firmware?.resetEip, 0x80_b004);
    assert.ok(decodeCpuidPage(plan.updates[3]?.source?.bytes ?? new Uint8Array(4096)).length > 20);
  });

  it('orders sections as EC2 and GCE do', () => {
    const sections = [
      { base: 0x80_e000, size: 0x1000, type: 3 },
      { base: 0x80_0000, size: 0x1000, type: 1 },
    ];
    const files = memoryFiles({ '/w/OVMF.fd': tinyOvmf({ sections }) });
    const of = (vmm: string) => types(planOf(`vm: { vmm: ${vmm} }\n${update('firmware: OVMF.fd')}`, files)).slice(1);
    assert.deepEqual(of('qemu'), ['CPUID 80e000+1000', 'ZERO 800000+1000']);
    assert.deepEqual(of('ec2'), ['ZERO 800000+1000', 'CPUID 80e000+1000']);
    assert.deepEqual(of('gce'), ['CPUID 80e000+1000', 'UNMEASURED 800000+1000']);
  });

  it('measures the kernel hashes only with a kernel', () => {
    assert.deepEqual(types(planOf(update('firmware: hashes.fd'))).slice(1), ['ZERO 810000+1000']);
    const plan = planOf(update('{ firmware: hashes.fd, kernel: k }'));
    assert.deepEqual(types(plan).slice(1), ['NORMAL 810000+1000']);
    assert.equal(toHex((plan.updates[1]?.source?.bytes ?? new Uint8Array()).slice(0xc10, 0xc12)), 'a800');
  });

  it('finds the firmware of the distribution', () => {
    const files = memoryFiles(FILES, { firmware: '/w/OVMF.fd' });
    assert.equal(planOf(update('firmware: auto'), files).firmware?.path, '/w/OVMF.fd');
    assert.deepEqual(found(update('firmware: auto')), ['manifest-no-firmware-found: auto']);
  });

  it('takes parts of files', () => {
    const of = (fields: string) => planOf(update(`{ gpa: 0x1000, type: normal, file: boot.bin${fields} }`)).updates[0];
    assert.deepEqual([of('')?.length, of('')?.source?.bytes.length], [0x2000, 5000]);
    assert.deepEqual([of(', offset: 4096')?.length, of(', offset: 4096')?.source?.bytes.length], [0x1000, 904]);
    assert.deepEqual([of(', length: 4KiB')?.length, of(', length: 4KiB')?.source?.bytes.length], [0x1000, 4096]);
    assert.deepEqual([of(', length: 100')?.length, of(', length: 12KiB')?.length], [100, 0x3000]);
    const files = memoryFiles(FILES);
    const again = () =>
      planOf(update('{ gpa: 0, type: normal, file: boot.bin, offset: 16 }'), files).updates[0]?.source;
    assert.equal(again()?.bytes, again()?.bytes);
  });

  it('gives each vCPU its VMSA', () => {
    const text = `snp: 1
vm: { vcpus: 4 }
launch:
  update:
    - firmware: OVMF.fd
    - { type: vmsa, registers: { rip: 0x1000, cs: { base: 0 } } }
    - { type: vmsa, vcpu: 3, file: vmsa.bin }
`;
    const { vmsas } = planOf(text);
    assert.equal(vmsas.length, 4);
    const [first, second, third, fourth] = vmsas;
    assert.ok(first && second && third && fourth);
    assert.equal(vmsaField(first, 'rip'), 0x1000n);
    assert.equal(vmsaField(second, 'cs.base'), 0x80_0000n);
    assert.equal(vmsaField(second, 'rip'), 0xb004n);
    assert.equal(second, third);
    assert.ok(equalBytes(fourth, new Uint8Array(4096).fill(1)));
  });

  it('reads a policy file', () => {
    assert.equal(planOf(launch('policy: strict.snp-policy.yaml')).start.policy, 0xb0000n);
  });

  it('fills an ID block with the digest and the policy of this launch', () => {
    const plan = planOf(launch('policy: 0xb0000, finish: { id-block: { guest-svn: 5 } }'));
    const measured = measurePlan(plan);
    assert.ok(measured.ok && plan.finish.idBlock);
    const block = decodeIdBlock(plan.finish.idBlock);
    assert.deepEqual(block.ld, measured.value.digest);
    assert.equal(block.policy, 0xb0000n);
    assert.equal(block.version, 1);
    assert.equal(block.guestSvn, 5);
  });

  it('reads ID block and ID auth files', () => {
    const { finish } = planOf(launch('finish: { id-block: id-block.bin, id-auth: id-auth.bin, author-key: true }'));
    assert.equal(finish.idBlock?.length, 96);
    assert.equal(finish.idAuth?.length, 4096);
    assert.equal(finish.authorKey, true);
  });

  it('encodes given CPUID leaves', () => {
    const plan = planOf(update('{ gpa: 0, type: cpuid, leaves: [{ leaf: 0xd, subleaf: 1, xcr0: 1, eax: 15 }] }'));
    assert.deepEqual(decodeCpuidPage(plan.updates[0]?.source?.bytes ?? new Uint8Array(4096)), [
      { eaxIn: 0xd, ecxIn: 1, xcr0In: 1n, xssIn: 0n, eax: 15, ebx: 0, ecx: 0, edx: 0 },
    ]);
  });
});

describe('what resolving refuses', () => {
  const leaves = Array.from({ length: 65 }, (_, i) => `{ leaf: ${i} }`).join(', ');
  /** Whether a plan exists all the same. */
  const cases: readonly (readonly [string, string, readonly string[], boolean])[] = [
    ['a missing file', update('firmware: none.fd'), ['manifest-file-missing: none.fd'], false],
    ['a folder', update('firmware: ../w'), ['manifest-file-not-a-file: ../w'], false],
    ['a file outside', update('firmware: /etc/passwd'), ['manifest-file-untrusted: /etc/passwd'], false],
    ['a missing kernel', update('{ firmware: hashes.fd, kernel: none }'), ['manifest-file-missing: none'], false],
    ['an odd size for -bios', update('firmware: small.fd'), ['image-bios-size: small.fd'], true],
    ['a cut image', update('firmware: cut.fd'), ['image-size-unaligned: cut.fd'], true],
    ['an image of zeros', update('firmware: zeros.fd'), ['image-no-footer: zeros.fd'], true],
    ['an odd section', update('firmware: odd.fd'), ['image-section-unaligned: odd.fd'], true],
    ['an unknown section', update('firmware: new-type.fd'), ['image-section-type-as-zero: new-type.fd'], true],
    [
      'hashes that nobody verifies',
      update('{ firmware: OVMF.fd, kernel: k }'),
      ['image-no-hashes-section: kernel'],
      true,
    ],
    ['initrd without kernel', update('{ firmware: OVMF.fd, initrd: k }'), ['image-kernel-missing: initrd'], true],
    ['a missing IGVM file', update('igvm: a.igvm'), ['manifest-file-missing: a.igvm'], false],
    ['what is no IGVM file', update('igvm: k'), ['image-igvm-too-short: k'], false],
    ['bad base64', launch('finish: { id-auth: { base64: "!" } }'), ['manifest-base64: "!"'], false],
    [
      'an offset beyond the file',
      update('{ gpa: 0, type: normal, file: boot.bin, offset: 8KiB }'),
      ['manifest-offset-beyond-file: 8KiB'],
      false,
    ],
    [
      'a length beyond the file',
      update('{ gpa: 0, type: normal, file: boot.bin, length: 12KiB }'),
      ['manifest-length-beyond-file: 12KiB'],
      true,
    ],
    [
      'a short VMSA file',
      update('{ type: vmsa, file: k }'),
      ['manifest-empty-update: update', 'manifest-vmsa-file-size: k'],
      false,
    ],
    ['65 leaves', update(`{ gpa: 0, type: cpuid, leaves: [${leaves}] }`), ['manifest-cpuid-too-many: leaves'], true],
    ['a bad policy file', launch('policy: bad.snp-policy.yaml'), ['manifest-policy-file: bad.snp-policy.yaml'], true],
    [
      'an empty policy file',
      launch('policy: empty.snp-policy.yaml'),
      ['manifest-policy-file: empty.snp-policy.yaml'],
      false,
    ],
    ['features without SNPActive', `vm: { vmsa-features: 0x20 }\n${launch('')}`, ['manifest-snp-active: 0x20'], true],
    ['a newer CPU model', `vm: { cpu: EPYC-Genoa }\n${launch('')}`, ['vmm-cpu-newer-than-host: EPYC-Genoa'], true],
    ['nothing to load', 'snp: 1\nlaunch: { update: [] }', ['manifest-empty-update: update'], true],
  ];
  for (const [name, text, expected, planned] of cases)
    it(name, () => {
      const seen = found(text).filter((f) => !f.startsWith('manifest-empty-update') || expected.includes(f));
      assert.deepEqual(seen, expected);
      assert.equal(resolve(text).plan !== undefined, planned);
    });

  it('a VMSA for a vCPU that does not exist, and two for one', () => {
    const two = 'snp: 1\nlaunch: { update: [{ gpa: 0, type: zero }, { type: vmsa, vcpu: 1, file: vmsa.bin }] }';
    assert.deepEqual(found(two), ['manifest-vmsa-vcpu: 1']);
    const twice = two.replace(
      'vcpu: 1, file: vmsa.bin }',
      'vcpu: 0, file: vmsa.bin }, { type: vmsa, vcpu: 0, file: vmsa.bin }',
    );
    assert.deepEqual(found(twice), ['manifest-vmsa-twice: 0']);
  });

  it('has no plan for a manifest that does not say what to launch', () => {
    for (const text of [
      '',
      'snp: 1',
      'snp: 1\nlaunch: { policy: abc: }',
      update('{ gpa: x, type: zero }'),
      update('{ gpa: 0 }'),
    ])
      assert.equal(resolve(text).plan, undefined, text);
  });

  it('has a plan in spite of harmless mistakes', () => {
    assert.ok(resolve(`launch: { update: [{ firmware: OVMF.fd }], colour: red }`).plan);
    assert.ok(resolve(`${update('firmware: OVMF.fd')}expect: { digest: "00" }\n`).plan);
  });

  it('never throws, whatever the files', () => {
    const text = `snp: 1
vm: { vcpus: 2 }
launch:
  policy: p.snp-policy.yaml
  update:
    - { firmware: a, kernel: b, initrd: b }
    - { gpa: 0, type: normal, file: b, offset: 3 }
    - { type: vmsa, file: b }
  finish: { id-block: b, id-auth: b }
`;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), fc.uint8Array({ maxLength: 200 }), (a, b) => {
        resolve(text, memoryFiles({ '/w/a': a, '/w/b': b, '/w/p.snp-policy.yaml': b }));
        resolve(
          text,
          memoryFiles({ '/w/a': tinyOvmf(HASHES), '/w/b': a, '/w/p.snp-policy.yaml': 'snp-policy: 1\nsmt: true' }),
        );
      }),
      { numRuns: 60 },
    );
  });
});
