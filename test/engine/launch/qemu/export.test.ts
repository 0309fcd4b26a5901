import assert from 'node:assert/strict';
import fc from 'fast-check';
import { toHex } from '../../../../engine/bytes.js';
import { parseManifest } from '../../../../engine/launch/manifest/parse.js';
import type { LaunchPlan } from '../../../../engine/launch/plan.js';
import { exportQemu, formatCommandLine } from '../../../../engine/launch/qemu/export-qemu.js';
import { importLaunch, recogniseInput } from '../../../../engine/launch/qemu/import.js';
import { resolvePlan } from '../../../../engine/launch/resolve.js';
import { CPU_MODELS } from '../../../../engine/spec/cpu-models.js';
import { nativeCrypto } from '../../../../platform/native-crypto.js';
import { parseXml } from '../../../../platform/xml.js';
import { buildIgvm, page, platform, policy } from '../../../support/igvm-builder.js';
import { memoryFiles } from '../../../support/memory-files.js';
import { filled } from '../../../support/plans.js';
import { tinyOvmf } from '../../../support/tiny-ovmf.js';

const HASHES = {
  sections: [
    { base: 0x80_d000, size: 0x1000, type: 2 },
    { base: 0x80_e000, size: 0x1000, type: 3 },
    { base: 0x81_0000, size: 0x1000, type: 0x10 },
  ],
  hashTable: { base: 0x81_0c00, size: 0x400 },
};
const files = memoryFiles({
  '/w/my OVMF,4M.fd': tinyOvmf(HASHES),
  "/w/k'ernel": 'kernel',
  '/w/initrd': 'initrd',
  '/w/block': filled(96, 1),
  '/w/auth': filled(4096, 2),
  '/w/a,b.igvm': buildIgvm([platform(), policy(), page(0x1000)]),
});

function exported(manifest: string) {
  const parsed = parseManifest(manifest, '/w/a.snp.yaml');
  assert.deepEqual(
    parsed.problems.map((p) => p.message),
    [],
  );
  const { plan, faults } = resolvePlan(parsed, files, nativeCrypto);
  assert.ok(plan, faults.map((f) => f.message).join('\n'));
  return { plan, ...exportQemu(parsed, plan) };
}

function importedPlan(commandLine: string): LaunchPlan {
  const kind = recogniseInput(commandLine);
  assert.equal(kind, 'qemu');
  const { manifest, faults } = importLaunch('qemu', commandLine, '/w/run.sh', parseXml);
  assert.deepEqual(
    faults.map((f) => f.message),
    [],
  );
  const parsed = parseManifest(manifest, '/w/run.sh');
  assert.deepEqual(
    parsed.problems.map((p) => p.message),
    [],
  );
  const { plan } = resolvePlan(parsed, files, nativeCrypto);
  assert.ok(plan, manifest);
  return plan;
}

/** What is launched, without the places of the manifest. */
function launched({ vm, start, vmsas, finish, updates, igvm }: LaunchPlan) {
  const pages = updates.map(({ type, gpa, length, label, source }) => {
    return { type, gpa, length, label, sha: source && toHex(nativeCrypto.sha384(source.bytes)) };
  });
  return { vm, start, vmsas, finish, pages, regions: igvm?.regions };
}

/** A command line does not say it: the oldest one with the features of the model. */
function processorOf(cpu: string): string {
  if (cpu.includes('Turin')) return 'turin';
  return cpu.includes('Genoa') ? 'genoa' : 'milan';
}

describe('export as a QEMU command line', () => {
  it('is one option on a line, quoted for a shell', () => {
    const { options, faults } = exported(`snp: 1
vm: { vcpus: 2, cpu: EPYC-Genoa-v1, memory: 256MiB }
launch:
  policy: 0x30000
  update:
    - { firmware: "my OVMF,4M.fd", kernel: "k'ernel", append: "a=1 b" }
`);
    assert.deepEqual(faults, []);
    assert.equal(
      formatCommandLine({ options, faults }),
      `qemu-system-x86_64 \\
  -accel kvm \\
  -machine q35,confidential-guest-support=sev0,memory-backend=ram1 \\
  -cpu EPYC-Genoa-v1 \\
  -smp 2 \\
  -m 256M \\
  -object memory-backend-memfd,id=ram1,size=256M,share=true,reserve=false \\
  -object sev-snp-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,policy=0x30000,kernel-hashes=on \\
  -bios 'my OVMF,4M.fd' \\
  -kernel 'k'\\''ernel' \\
  -append 'a=1 b'
`,
    );
  });

  it('import of an export launches the same', () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const arbitrary = fc.record({
      vcpus: fc.integer({ min: 1, max: 64 }),
      cpu: fc.constantFrom(...CPU_MODELS.map((m) => m.name)),
      memory: fc.integer({ min: 16, max: 2 ** 20 }),
      policy: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      gosvw: fc.option(bytes(16)),
      hostData: fc.option(bytes(32)),
      id: fc.constantFrom('', '    id-block: block\n', '    id-block: { version: 1, guest-svn: 7 }\n'),
      auth: fc.constantFrom('', '    id-auth: auth\n', '    id-auth: { base64: "" }\n'),
      flags: fc.constantFrom('', '    author-key: true\n', '    vcek-disabled: true\n'),
      kernel: fc.constantFrom(
        '',
        "kernel: k'ernel",
        "kernel: k'ernel, kernel-hashes: false",
        "kernel: k'ernel, initrd: initrd",
      ),
      append: fc.option(fc.string({ unit: 'grapheme' }).filter((t) => !/\0/.test(t))),
    });
    fc.assert(
      fc.property(arbitrary, (m) => {
        const append = m.kernel !== '' && m.append !== null ? `, append: ${JSON.stringify(m.append)}` : '';
        const finish = `${m.id}${m.auth}${m.flags}${m.hostData ? `    host-data: "${toHex(m.hostData)}"\n` : ''}`;
        const { plan, options, faults } = exported(`snp: 1
host: { processor: ${processorOf(m.cpu)} }
vm: { vcpus: ${m.vcpus}, cpu: ${m.cpu}, memory: ${m.memory}KiB }
launch:
  policy: 0x${m.policy.toString(16)}
${m.gosvw ? `  gosvw: "${toHex(m.gosvw)}"\n` : ''}  update:
    - { firmware: "my OVMF,4M.fd"${m.kernel === '' ? '' : `, ${m.kernel}`}${append} }
${finish === '' ? '' : `  finish:\n${finish}`}`);
        assert.deepEqual(faults, []);
        assert.deepEqual(launched(importedPlan(formatCommandLine({ options, faults }))), launched(plan));
      }),
      { numRuns: 60 },
    );
  });

  it('so does that of an IGVM file', () => {
    const { plan, options, faults } = exported(
      'snp: 1\nvm: { memory: 64MiB }\nlaunch:\n  update:\n    - igvm: "a,b.igvm"\n',
    );
    assert.deepEqual(faults, []);
    assert.deepEqual(launched(importedPlan(formatCommandLine({ options, faults }))), launched(plan));
  });

  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    [
      'pages',
      'launch: { update: [{ gpa: 0x1000, type: zero }] }',
      ['vmm-export-not-possible', 'vmm-export-not-possible'],
    ],
    [
      'a VMSA',
      'launch: { update: [{ firmware: "my OVMF,4M.fd" }, { type: vmsa, registers: { rip: 1 } }] }',
      ['vmm-export-not-possible'],
    ],
    ['another VMM', 'vm: { vmm: ec2 }\nlaunch: { update: [{ firmware: "my OVMF,4M.fd" }] }', ['vmm-export-differs']],
    [
      'SEV features',
      'vm: { vmsa-features: 0x21 }\nlaunch: { update: [{ firmware: "my OVMF,4M.fd" }] }',
      ['vmm-export-differs'],
    ],
    ['ZERO pages', 'launch: { update: [{ igvm: "a,b.igvm", zero-pages: zero }] }', ['vmm-export-differs']],
  ];
  for (const [what, text, expected] of cases) {
    it(`tells that it cannot say ${what}`, () => {
      assert.deepEqual(
        exported(`snp: 1\n${text}\n`).faults.map((f) => f.check),
        expected,
      );
    });
  }
});
