import assert from 'node:assert/strict';
import { equalBytes, toHex } from '../../../../engine/bytes.js';
import { parseManifest } from '../../../../engine/launch/manifest/parse.js';
import { measurePlan } from '../../../../engine/launch/measure.js';
import { resolvePlan } from '../../../../engine/launch/resolve.js';
import { setVmsaField } from '../../../../engine/launch/vmsa/build.js';
import { PAGE_TYPE } from '../../../../engine/spec/page-type.js';
import { dryRun } from '../../../../engine/vmm/launch.js';
import { nativeCrypto } from '../../../../platform/native-crypto.js';
import {
  area,
  buildIgvm,
  context,
  idBlock,
  insert,
  page,
  parameter,
  platform,
  policy,
  required,
  type Structure,
  structure,
} from '../../../support/igvm-builder.js';
import { memoryFiles } from '../../../support/memory-files.js';
import { filled, testVmsas } from '../../../support/plans.js';

const [vmsa = new Uint8Array(4096)] = testVmsas('qemu', 1, 1n);

function vmsaWith(...fields: readonly (readonly [string, bigint])[]): Uint8Array {
  const copy = Uint8Array.from(vmsa);
  for (const [name, value] of fields) assert.ok(setVmsaField(copy, name, value), name);
  return copy;
}

function resolve(
  structures: readonly Structure[],
  manifest: { vm?: string; launch?: string; more?: string; keys?: string } = {},
) {
  const { vm = '', launch = '', more = '', keys = '' } = manifest;
  const text = `snp: 1\nvm: { memory: 64MiB${vm} }\nlaunch:\n${launch}  update:\n    - { igvm: a.igvm${keys} }\n${more}`;
  const parsed = parseManifest(text, '/w/a.snp.yaml');
  assert.deepEqual(
    parsed.problems.map((p) => p.message),
    [],
  );
  const files = memoryFiles({
    '/w/a.igvm': buildIgvm(structures),
    '/w/b.fd': new Uint8Array(0x1_0000),
    '/w/p': filled(4096, 1),
  });
  return resolvePlan(parsed, files, nativeCrypto);
}

const begin = [platform(), policy()];
const checks = (structures: readonly Structure[], manifest?: Parameters<typeof resolve>[1]): string[] =>
  resolve(structures, manifest).faults.map((f) => f.check);

describe('IGVM as QEMU processes it', () => {
  it('contiguous pages of one kind are one update; content may stand anywhere in the file', () => {
    const shared = filled(4096, 1);
    const { plan, faults } = resolve([
      ...begin,
      page(0x1000, { data: shared }),
      page(0x2000, { data: filled(4096, 2) }),
      page(0x3000),
      page(0x4000),
      page(0x6000, { flags: 2 }),
      page(0x7000, { type: 1 }),
      page(0x8000, { type: 2 }),
      page(0x9000, { type: 2 }),
      page(0x20_0000, { flags: 1 }),
      page(0x1_0000_0000, { mask: 2 }),
      context(vmsa),
    ]);
    assert.deepEqual(faults, []);
    assert.deepEqual(
      plan?.updates.map((u) => [u.type, u.gpa, u.length]),
      [
        [PAGE_TYPE.NORMAL, 0x1000, 0x2000],
        [PAGE_TYPE.NORMAL, 0x3000, 0x2000],
        [PAGE_TYPE.UNMEASURED, 0x6000, 0x1000],
        [PAGE_TYPE.SECRETS, 0x7000, 0x1000],
        [PAGE_TYPE.CPUID, 0x8000, 0x1000],
        [PAGE_TYPE.CPUID, 0x9000, 0x1000],
        [PAGE_TYPE.NORMAL, 0x20_0000, 0x20_0000],
      ],
    );
    assert.ok(plan.updates.every((u) => u.entry === 4));
    assert.equal(plan.updates[1]?.source, undefined);
    assert.ok(
      equalBytes(plan.updates[0]?.source?.bytes ?? new Uint8Array(), Uint8Array.from([...shared, ...filled(4096, 2)])),
    );
  });

  it('measurement and launch agree, also for memory that the machine does not have', () => {
    const { plan } = resolve([
      ...begin,
      area(0, 0x2000, filled(0x2000, 9)),
      parameter('VP_COUNT_PARAMETER', 0),
      parameter('MEMORY_MAP', 0, 0x100),
      parameter('ENVIRONMENT_INFO_PARAMETER', 0, 0x1ffc),
      insert(0x9000, 0),
      required(0x5000_0000, 0x2000),
      page(0xffff_f000, { data: filled(4096, 4) }),
      page(0x1000),
      context(vmsa),
    ]);
    assert.ok(plan);
    const measured = measurePlan(plan, nativeCrypto);
    const launched = dryRun(plan, { crypto: nativeCrypto });
    assert.equal(launched.fault, undefined);
    assert.ok(measured.ok && launched.digest);
    assert.equal(toHex(launched.digest), toHex(measured.value.digest));
    const [vm] = launched.machine.kvm.vms.values();
    const slots = [...(vm?.slots.values() ?? [])].map((slot) => slot.label);
    assert.deepEqual(slots, ['ram-below-4g', 'igvm.5', 'igvm.6']);
  });

  it('parameters tell number of vCPUs, memory map and shared memory', () => {
    const { plan } = resolve(
      [
        ...begin,
        area(0, 4096, filled(4096, 0xee)),
        parameter('VP_COUNT_PARAMETER', 0, 4),
        parameter('MEMORY_MAP', 0, 16),
        insert(0, 0),
      ],
      { vm: ', vcpus: 3' },
    );
    const bytes = plan?.updates[0]?.source?.bytes;
    assert.ok(bytes);
    const v = new DataView(bytes.buffer, bytes.byteOffset);
    assert.deepEqual([v.getUint32(0, true), v.getUint32(4, true)], [0xeeee_eeee, 3]);
    const entry = (at: number) => [v.getBigUint64(at, true), v.getBigUint64(at + 8, true), v.getUint16(at + 16, true)];
    assert.deepEqual(entry(16), [0n, 0x4000n, 0]);
    assert.deepEqual(entry(40), [0xf_effcn, 4n, 1]);
  });

  it('policy and features of the VM come from the file', () => {
    const { plan, faults } = resolve([platform(), policy(0xb_0000), context(vmsaWith(['sev-features', 0x21n]))]);
    assert.deepEqual(
      faults.map((f) => f.check),
      ['manifest-empty-update'],
    );
    assert.equal(plan?.start.policy, 0xb_0000n);
    assert.equal(plan.vm.vmsaFeatures, 0x21n);
    assert.ok(equalBytes(plan.vmsas[0] ?? new Uint8Array(), vmsaWith(['sev-features', 0x21n])));
  });

  it('zero-pages: zero launches pages without content as ZERO', () => {
    const { plan } = resolve([...begin, page(0x1000)], { keys: ', zero-pages: zero' });
    assert.equal(plan?.updates[0]?.type, PAGE_TYPE.ZERO);
  });

  const refused: readonly (readonly [string, string, readonly Structure[]])[] = [
    ['no SNP platform', 'vmm-igvm-platform', [platform(1, 3, 0), page(0)]],
    ['no directives', 'vmm-igvm-no-directives', begin],
    ['a device tree', 'vmm-igvm-directive', [...begin, area(0, 4096), parameter('DEVICE_TREE', 0)]],
    [
      'an error range',
      'vmm-igvm-directive',
      [
        ...begin,
        structure('ERROR_RANGE', [
          [8, 0],
          [4, 1],
          [4, 0],
        ]),
      ],
    ],
    [
      'relocation',
      'vmm-igvm-directive',
      [
        platform(),
        structure('PAGE_TABLE_RELOCATION_REGION', [
          [4, 1],
          [4, 0],
          [8, 0],
          [8, 0],
          [8, 0],
        ]),
        page(0),
      ],
    ],
    ['two ID blocks', 'vmm-igvm-id-blocks', [...begin, page(0), idBlock(), idBlock()]],
    ['a VMSA elsewhere', 'vmm-igvm-vmsa-gpa', [...begin, page(0), context(vmsa, { gpa: 0x1000n })]],
    ['a VMSA with VMPL 1', 'vmm-igvm-vmsa-fields', [...begin, page(0), context(vmsaWith(['vmpl', 1n]))]],
    ['a VMSA with LSTAR', 'vmm-igvm-vmsa-fields', [...begin, page(0), context(vmsaWith(['lstar', 1n]))]],
    [
      'a VMSA without SNPActive',
      'vmm-igvm-vmsa-features',
      [...begin, page(0), context(vmsaWith(['sev-features', 0n]))],
    ],
    ['a VMSA of vCPU 1', 'vmm-igvm-vmsa-vcpu', [...begin, page(0), context(vmsa, { vcpu: 1 })]],
    [
      'no room for the memory map',
      'vmm-igvm-parameter-space',
      [...begin, area(0, 4096), parameter('MEMORY_MAP', 0, 4080)],
    ],
    [
      'a large page with content',
      'vmm-igvm-2m-data',
      [...begin, page(0, { flags: 1, data: new Uint8Array(0x20_0000) })],
    ],
  ];
  for (const [what, check, structures] of refused) {
    it(`refuses ${what}`, () => {
      const { plan, faults } = resolve(structures);
      assert.equal(plan, undefined);
      assert.equal(faults.find((f) => f.severity === 'error')?.check, check);
    });
  }

  const warned: readonly (readonly [string, string, readonly Structure[], Parameters<typeof resolve>[1]?])[] = [
    ['a shared page', 'vmm-igvm-shared-page', [...begin, page(0, { flags: 4 })]],
    ['no policy', 'vmm-igvm-no-policy', [platform(), page(0)]],
    ['another policy', 'vmm-igvm-overrides', [...begin, page(0)], { launch: '  policy: 0x20000\n' }],
    [
      'another ID block',
      'vmm-igvm-overrides',
      [...begin, page(0), idBlock()],
      { more: '  finish: { id-block: { version: 1 } }\n' },
    ],
    ['an author key that is not enabled', 'vmm-igvm-author-key', [...begin, page(0), idBlock({ curve: 2 })]],
    ['version 2 of the ID block', 'vmm-igvm-id-version', [...begin, page(0), idBlock({ version: 2 })]],
    ['a page behind the VMSA', 'vmm-igvm-vmsa-order', [...begin, context(vmsa), page(0)]],
    ['more vCPUs than VMSAs', 'vmm-igvm-more-vcpus', [...begin, page(0), context(vmsa)], { vm: ', vcpus: 2' }],
    ['an optional structure', 'vmm-igvm-skipped', [...begin, page(0), { type: 0x8000_03a0, body: new Uint8Array(3) }]],
  ];
  for (const [what, check, structures, manifest] of warned) {
    it(`tells of ${what}`, () => {
      const { plan, faults } = resolve(structures, manifest);
      assert.ok(plan);
      assert.deepEqual(
        faults.map((f) => f.check),
        [check],
      );
    });
  }

  it('refuses a second IGVM file and a firmware image beside it', () => {
    assert.deepEqual(checks([...begin, page(0)], { more: '    - igvm: a.igvm\n' }), ['vmm-igvm-twice']);
    assert.ok(checks([...begin, page(0)], { more: '    - firmware: b.fd\n' }).includes('vmm-igvm-with-firmware'));
  });

  it('the launch refuses memory that begins in RAM and goes beyond its end', () => {
    const { plan } = resolve([...begin, page(0), required(0x3ff_f000, 0x2000)]);
    assert.ok(plan);
    assert.equal(dryRun(plan, { crypto: nativeCrypto }).fault?.check, 'vmm-igvm-memory');
  });
});
