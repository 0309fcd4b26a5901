import assert from 'node:assert/strict';
import { toHex } from '../../../../engine/bytes.js';
import { portableCrypto } from '../../../../engine/crypto.js';
import { BSP_EIP, buildVmsa, setVmsaField, vmsaField } from '../../../../engine/launch/vmsa/build.js';
import { CPU_MODELS, cpuModel, cpuSignature } from '../../../../engine/spec/cpu-models.js';
import { VMSA_FIELD_BY_NAME } from '../../../../engine/spec/vmsa-layout.js';

const signature = cpuModel('EPYC-v4')?.signature ?? 0;
const AP_EIP = 0x0080_b004;

describe('initial VMSA', () => {
  // SHA-384 of the VMSAs of sev-snp-measure 0.0.13 for EPYC-v4.
  for (const [name, eip, features, sha384] of [
    [
      'BSP',
      BSP_EIP,
      0x1n,
      '77920c4c629ff47e90c0e174fc1ad0eb6fa664f88cd4739488058a8c6cb1a77b3856f55378e9518d0da99452d51c553a',
    ],
    [
      'BSP',
      BSP_EIP,
      0x21n,
      'ae79efa6efbe1594a2717dfd42af495a0e4ed37b00e529a5fdf349bea04c3513962ffb0c74cf65b0d9a1857271833d6e',
    ],
    [
      'AP',
      AP_EIP,
      0x1n,
      '8413b852790765a310d95867a8b00bfca3a802b5a80830044b45e253fe96222657e11e53fcf63eb0e0afd722385bf7b4',
    ],
    [
      'AP',
      AP_EIP,
      0x21n,
      '180ef2675dc01615d31b3e84ef27a0a69d08bfbbb58ea4f6a0188f08884ab6407591ada42f99749ce9a406fb4e5d8355',
    ],
  ] as const)
    it(`of the ${name}, SEV_FEATURES 0x${features.toString(16)}`, () => {
      const vmsa = buildVmsa({ vmm: 'qemu', eip, signature, features });
      assert.equal(vmsa.length, 4096);
      assert.equal(toHex(portableCrypto.sha384(vmsa)), sha384);
    });

  it('differs by VMM', () => {
    const of = (vmm: 'qemu' | 'ec2' | 'gce', eip: number) => buildVmsa({ vmm, eip, signature, features: 1n });
    assert.equal(vmsaField(of('qemu', BSP_EIP), 'rdx'), 0x800f12n);
    assert.equal(vmsaField(of('ec2', BSP_EIP), 'rdx'), 0x600n);
    assert.equal(vmsaField(of('ec2', BSP_EIP), 'cs.attrib'), 0x9an);
    assert.equal(vmsaField(of('ec2', AP_EIP), 'cs.attrib'), 0x9bn);
    assert.equal(vmsaField(of('ec2', BSP_EIP), 'tr.attrib'), 0x83n);
    assert.equal(vmsaField(of('gce', BSP_EIP), 'g-pat'), 0x70106n);
    assert.equal(vmsaField(of('gce', BSP_EIP), 'mxcsr'), 0n);
  });

  it('lays registers over the profile', () => {
    const registers = [
      { name: 'rip', value: 0x1000n },
      { name: 'cs.base', value: 0n },
      { name: 'r15', value: 0xffff_ffff_ffff_ffffn },
      { name: 'no such register', value: 1n },
    ];
    const vmsa = buildVmsa({ vmm: 'qemu', eip: BSP_EIP, signature, features: 1n, registers });
    assert.equal(vmsaField(vmsa, 'rip'), 0x1000n);
    assert.equal(vmsaField(vmsa, 'cs.base'), 0n);
    assert.equal(vmsaField(vmsa, 'cs.selector'), 0xf000n);
    assert.equal(vmsaField(vmsa, 'r15'), 0xffff_ffff_ffff_ffffn);
    assert.equal(setVmsaField(vmsa, 'no such register', 1n), false);
  });

  it('has fields that do not overlap', () => {
    const owner = new Map<number, string>();
    for (const field of VMSA_FIELD_BY_NAME.values()) {
      for (let i = field.offset; i < field.offset + field.size; i++) {
        assert.equal(owner.get(i), undefined, `${field.name} at 0x${i.toString(16)}`);
        owner.set(i, field.name);
      }
    }
  });
});

describe('CPU models', () => {
  for (const [name, value] of [
    ['EPYC', 0x00800f12],
    ['EPYC-v1', 0x00800f12],
    ['EPYC-v2', 0x00800f12],
    ['EPYC-v3', 0x00800f12],
    ['EPYC-v4', 0x00800f12],
    ['EPYC-IBPB', 0x00800f12],
    ['EPYC-Rome', 0x00830f10],
    ['EPYC-Rome-v4', 0x00830f10],
    ['EPYC-Milan', 0x00a00f11],
    ['EPYC-Milan-v2', 0x00a00f11],
    ['EPYC-Genoa-v1', 0x00a10f10],
    ['EPYC-Turin', 0x00b00f00],
  ] as const)
    it(`${name} has signature 0x${value.toString(16)}`, () => assert.equal(cpuModel(name)?.signature, value));

  it('encodes families below 0xf without extension', () => assert.equal(cpuSignature(6, 0x55, 7), 0x50657));
  it('has unique names', () => assert.equal(new Set(CPU_MODELS.map((m) => m.name)).size, CPU_MODELS.length));
});
