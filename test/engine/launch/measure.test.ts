import assert from 'node:assert/strict';
import { gpa } from '../../../engine/address.js';
import { toHex } from '../../../engine/bytes.js';
import { parseManifest } from '../../../engine/launch/manifest/parse.js';
import { createMeasurer, imageWarnings, measureImage, measurePlan } from '../../../engine/launch/measure.js';
import { createDigestChain, measurePages, measureVmsas } from '../../../engine/launch/measurer.js';
import { type OvmfImage, parseOvmf } from '../../../engine/launch/ovmf/image.js';
import { firmwareUpdates } from '../../../engine/launch/ovmf/updates.js';
import type { LaunchPlan } from '../../../engine/launch/plan.js';
import { resolvePlan } from '../../../engine/launch/resolve.js';
import { BSP_EIP, buildVmsa } from '../../../engine/launch/vmsa/build.js';
import { PAGE_TYPE } from '../../../engine/spec/page-type.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';
import { memoryFiles } from '../../support/memory-files.js';
import { tinyOvmf } from '../../support/tiny-ovmf.js';

const { ZERO, NORMAL, UNMEASURED, SECRETS, CPUID } = PAGE_TYPE;

describe('digest of single pages', () => {
  // Computed with sev-snp-measure 0.0.13.
  for (const [name, type, at, ld] of [
    [
      'ZERO',
      ZERO,
      0x80_0000,
      '4472405c6dbc65e5629805f2be1b3df74eb119841eff12466c24f43e67083c23df5e645b2742b6d9aa0f943e095cebaa',
    ],
    [
      'NORMAL of zeros',
      NORMAL,
      0xffff_f000,
      '46c510442a54cc32344cef32e14dc3d6312fc4a010780dd11fd33204df5550590356b069e6c6ca5bbfca71561f370399',
    ],
    [
      'SECRETS',
      SECRETS,
      0x80_d000,
      'e82e99caf82a32c31ec5070eef9e2135866d8f7de60d756814f3bd8c989c1e826622e0a97dad026c6d9d81818780e6a2',
    ],
    [
      'CPUID',
      CPUID,
      0x80_e000,
      'c9e46442d2b4ddb823fa6b4a907930de7e93901180c5a3126ba234193059a0a51a21ba82f05d2fe0f3136f22b1b1a8e4',
    ],
    [
      'UNMEASURED',
      UNMEASURED,
      0x1000,
      '81475a112c0223cebe1ccb31a0aa2567772871200b33515a3cbbd5ed6a68a8e630902dd83469ea6553554bfb67111fad',
    ],
  ] as const)
    it(name, () => {
      const chain = createDigestChain(nativeCrypto);
      chain.begin();
      measurePages(chain, { type, gpa: at, length: 4096 }, 0, nativeCrypto);
      assert.equal(toHex(chain.end()[0]?.digest ?? new Uint8Array()), ld);
    });

  it('VMSA of zeros, whatever its TSC fields', () => {
    const ld = 'f4577da9b848673216afc3909e5ea7aa80150dda441526874cd2b0282894709b46484c13a07221aefbedfff667199259';
    for (const at of [undefined, 0x2f0, 0x2ff]) {
      const vmsa = new Uint8Array(4096);
      if (at !== undefined) vmsa[at] = 0xff;
      const chain = createDigestChain(nativeCrypto);
      chain.begin();
      measureVmsas(chain, [vmsa], nativeCrypto);
      assert.equal(toHex(chain.end()[0]?.digest ?? new Uint8Array()), ld);
    }
  });
});

describe('digest of a whole launch', () => {
  const sections = [
    { base: 0x80_0000, size: 0x9000, type: 1 },
    { base: 0x80_a000, size: 0x3000, type: 1 },
    { base: 0x80_d000, size: 0x1000, type: 2 },
    { base: 0x80_e000, size: 0x1000, type: 3 },
    { base: 0x80_f000, size: 0x1000, type: 0x10 },
    { base: 0x81_0000, size: 0x1_0000, type: 1 },
  ];
  const bytes = new Uint8Array(0x1_0000);
  for (let page = 0; page < 16; page++) bytes.fill(page, page * 4096, (page + 1) * 4096);

  /** sev-snp-measure 0.0.13 over the AmdSev layout of April 2024, EPYC-Milan-v2, features 0x1. */
  const chainOf = (firmware: boolean, metadata: boolean, vcpus: number): string => {
    const image: OvmfImage = {
      path: 'a.fd',
      bytes: firmware ? bytes : new Uint8Array(),
      base: gpa(0x1_0000_0000 - (firmware ? bytes.length : 0)),
      hasFooter: true,
      entries: [],
      sections: metadata ? sections : [],
    };
    const chain = createDigestChain(nativeCrypto);
    chain.begin();
    firmwareUpdates(image, 'qemu', false).forEach((u, i) => {
      const content = u.role === 'image' ? { bytes: image.bytes } : {};
      measurePages(chain, { type: u.type, gpa: u.gpa, length: u.length, ...content }, i, nativeCrypto);
    });
    const of = (eip: number) => buildVmsa({ vmm: 'qemu', eip, signature: 0xa00f11, features: 1n });
    const [bsp, ap] = [of(BSP_EIP), of(0x80_b004)];
    measureVmsas(
      chain,
      Array.from({ length: vcpus }, (_, i) => (i === 0 ? bsp : ap)),
      nativeCrypto,
    );
    return toHex(chain.end().at(-1)?.digest ?? new Uint8Array());
  };
  for (const [name, firmware, metadata, vcpus, ld] of [
    [
      'metadata only',
      false,
      true,
      0,
      '7c1bdf5583f8f01704a923db89ee0e120d7c3444033fac51e9303281c9a33433ce4bda3c7d62ae4cfcd20a9072a46111',
    ],
    [
      'metadata and 1 VMSA',
      false,
      true,
      1,
      '40bbf66402bec360ca6ce2a530d8d00bf25c106a23be60ac6e4ab15cdfae59f2976839a422676c6d313c8d6eb96aee90',
    ],
    [
      'metadata and 2 VMSAs',
      false,
      true,
      2,
      'c98d504dcbdb0b9c49919da0d34c9dcc0d6fa7c7144f36be7968fbbe35d1a604a268a301c79bb4a440797cb96852391d',
    ],
    [
      'metadata and 32 VMSAs',
      false,
      true,
      32,
      'e229065f25d7d848544d4b4c9ee619b9cd69bd545932eb6821113ffb2e445cc52da123279cedc57991988af144999722',
    ],
    [
      'firmware only',
      true,
      false,
      0,
      '7b297a53289ae075b638fbec957d9ebea964e0218b2038bf332a1d98a350356ff58de766836e573a0453c396354af30f',
    ],
    [
      'firmware and metadata',
      true,
      true,
      0,
      '3e83f9853ad5893a29c593dcbd08b53df7642aca0bf5125e5a1f2f8b8454d10e2893e3279be684a8b0c4887ad13843b7',
    ],
    [
      'firmware, metadata, 2 VMSAs',
      true,
      true,
      2,
      '9d0ba22578331ddb71a226b610a9c1a70b0bb2de8e3c6087e93382da4880a3f60e705f47bcb5e7b0d3c0acd033d6782d',
    ],
  ] as const)
    it(name, () => assert.equal(chainOf(firmware, metadata, vcpus), ld));
});

describe('measurePlan', () => {
  const MANIFEST = 'snp: 1\nvm: { vcpus: 3, cpu: EPYC-v4 }\nlaunch:\n  update:\n    - firmware: OVMF.fd\n';
  const planOf = (text: string, files: Parameters<typeof memoryFiles>[0]): LaunchPlan => {
    const { plan, faults } = resolvePlan(parseManifest(text, '/w/a.snp.yaml'), memoryFiles(files), nativeCrypto);
    assert.ok(plan, faults.map((f) => f.message).join());
    return plan;
  };
  const digest = (plan: LaunchPlan): string => {
    const result = measurePlan(plan, nativeCrypto);
    assert.ok(result.ok);
    return toHex(result.value.digest);
  };

  for (const vmm of ['qemu', 'ec2', 'gce'] as const)
    it(`agrees with measureImage for ${vmm}`, () => {
      const ovmf = tinyOvmf();
      const plan = planOf(MANIFEST.replace('vm: {', `vm: { vmm: ${vmm},`), { '/w/OVMF.fd': ovmf });
      const options = { ovmf, vcpus: 3, vcpuType: 'EPYC-v4', guestFeatures: 1n, vmmType: vmm };
      const image = measureImage(options, nativeCrypto);
      assert.ok(image.ok);
      assert.equal(digest(plan), toHex(image.value));
    });

  it('agrees with measureImage with a kernel', () => {
    const ovmf = tinyOvmf({
      sections: [{ base: 0x81_0000, size: 0x1000, type: 0x10 }],
      hashTable: { base: 0x81_0c00, size: 0x400 },
    });
    const kernel = new Uint8Array(5000).fill(7);
    const files = { '/w/OVMF.fd': ovmf, '/w/k': kernel, '/w/i': 'initrd' };
    const plan = planOf(`${MANIFEST}      kernel: k\n      initrd: i\n      append: quiet\n`, files);
    const options = { ovmf, vcpus: 3, vcpuType: 'EPYC-v4', guestFeatures: 1n, vmmType: 'qemu' } as const;
    const initrd = new TextEncoder().encode('initrd');
    const image = measureImage({ ...options, kernel, initrd, append: 'quiet' }, nativeCrypto);
    const without = measureImage(options, nativeCrypto);
    assert.ok(image.ok && without.ok);
    assert.equal(digest(plan), toHex(image.value));
    assert.notEqual(toHex(image.value), toHex(without.value));
  });

  it('measures again what changed, and nothing else', () => {
    let hashes = 0;
    const counting = {
      ...nativeCrypto,
      sha384: (data: Uint8Array) => {
        hashes++;
        return nativeCrypto.sha384(data);
      },
    };
    const measurer = createMeasurer(counting);
    const files = memoryFiles({ '/w/OVMF.fd': tinyOvmf() });
    const parsed = parseManifest(MANIFEST, '/w/a.snp.yaml');
    const run = (): string => {
      hashes = 0;
      const { plan } = resolvePlan(parsed, files, counting);
      assert.ok(plan);
      const result = measurer.measure(plan);
      assert.ok(result.ok);
      assert.equal(toHex(result.value.digest), digest(plan));
      return toHex(result.value.digest);
    };
    const first = run();
    assert.equal(run(), first);
    // Two VMSAs; pages and links are remembered.
    assert.equal(hashes, 2);
    const changed = tinyOvmf();
    changed[0x5000] = 99;
    files.write('/w/OVMF.fd', changed);
    assert.notEqual(run(), first);
    const total = 16 + 2 + 1 + 1 + 3;
    assert.equal(hashes, 1 + 2 + (total - 5));
  });

  it('refuses what is not whole pages, at its place', () => {
    const text = 'snp: 1\nlaunch:\n  update:\n    - { gpa: 0x1800, type: zero }\n';
    const result = measurePlan(planOf(text, {}));
    assert.ok(!result.ok);
    assert.equal(result.fault.check, 'vmm-measure-unaligned');
    assert.equal(text.slice(result.fault.at?.range.start, result.fault.at?.range.end), '{ gpa: 0x1800, type: zero }');
  });

  it('refuses an endless range at once', () => {
    const result = measurePlan(planOf('snp: 1\nlaunch: { update: [{ gpa: 0, type: zero, length: 1024TiB }] }', {}));
    assert.ok(!result.ok);
    assert.equal(result.fault.check, 'vmm-measure-too-many-pages');
  });
});

describe('measureImage', () => {
  const options = { ovmf: tinyOvmf(), vcpus: 1, vcpuType: 'EPYC-v4', guestFeatures: 1n, vmmType: 'qemu' } as const;

  it('refuses an unknown CPU model', () => {
    const result = measureImage({ ...options, vcpuType: 'EPYC-v44' });
    assert.ok(!result.ok);
    assert.equal(result.fault.check, 'vmm-unknown-cpu-model');
    assert.match(result.fault.message, /Did you mean `EPYC-v4`/);
  });

  it('refuses an impossible number of vCPUs', () => {
    for (const vcpus of [-1, 1.5, Number.NaN, 1e9]) {
      const result = measureImage({ ...options, vcpus });
      assert.equal(result.ok ? 'ok' : result.fault.check, 'vmm-vcpu-count');
    }
  });

  it('takes a signature instead of a model', () => {
    const { vcpuType: _, ...others } = options;
    assert.deepEqual(measureImage({ ...others, signature: 0x800f12 }), measureImage(options));
  });

  it('warns of initrd and append without kernel', () => {
    const warnings = imageWarnings({ ...options, initrd: new Uint8Array(), append: 'quiet' });
    assert.deepEqual(
      warnings.map((w) => [w.check, w.severity, w.operands['given']]),
      [['image-kernel-missing', 'warning', 'initrd and append']],
    );
    assert.deepEqual(imageWarnings(options), []);
  });

  it('measures an image without metadata, with a warning', () => {
    const { image } = parseOvmf(options.ovmf);
    const entry = image.entries.find((e) => e.guid.startsWith('dc886566'));
    assert.ok(entry);
    const ovmf = options.ovmf.slice();
    ovmf[entry.offset + entry.data.length + 2] = 0;
    assert.ok(measureImage({ ...options, ovmf }).ok);
    assert.deepEqual(
      imageWarnings({ ...options, ovmf }).map((w) => w.check),
      ['image-no-metadata'],
    );
  });
});

describe('a VMSA from a file', () => {
  it('is measured without its TSC fields and left as it is, even as a Buffer', () => {
    const vmsa = Buffer.from(buildVmsa({ vmm: 'qemu', eip: BSP_EIP, signature: 0x00a0_0f11, features: 1n }));
    const plain = Uint8Array.from(vmsa);
    vmsa.fill(0xaa, 0x2f0, 0x300);
    const digests = [vmsa, plain].map((bytes) => {
      const chain = createDigestChain(nativeCrypto);
      chain.begin();
      measureVmsas(chain, [bytes], nativeCrypto);
      return toHex(chain.end()[0]?.digest ?? new Uint8Array());
    });
    assert.equal(digests[0], digests[1]);
    assert.equal(vmsa[0x2f0], 0xaa);
  });
});
