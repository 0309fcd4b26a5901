import assert from 'node:assert/strict';
import fc from 'fast-check';
import { view } from '../../../../engine/bytes.js';
import { loadVmsa, storeVmsa, VMSA_AT } from '../../../../engine/cpu/svm/vmsa-state.js';
import { VMSA_SEGMENTS } from '../../../../engine/spec/vmsa-layout.js';
import { smallMachine } from '../system/small-machine.js';

const U64 = (1n << 64n) - 1n;

/** Fields that any value can be put into: offset and bits that exist. */
const FREE: readonly (readonly [offset: number, bits: bigint])[] = [
  ...[0x1f8, 0x308, 0x310, 0x318, 0x1d8, 0x328, 0x330, 0x338].map((at) => [at, U64] as const),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((n) => [0x340 + 8 * n, U64] as const),
  ...[0, 1, 2, 3].map((n) => [0x180 + 8 * n, U64] as const),
  [0x178, U64], // RIP
  [0x150, U64], // CR3
  [0x240, U64], // CR2
  [0x170, 0x25_0cd5n], // RFLAGS without TF, RF, VM, AC: bit 1 is always one
  [0x168, 0xffff_ffffn], // DR6
  ...[0x200, 0x208, 0x210, 0x218, 0x220, 0x228, 0x230, 0x238, 0x268, 0x2e0].map((at) => [at, U64] as const),
  [0x278, U64],
  [0x290, U64],
  [0x3b8, 0xfn], // V_TPR
  [0x400, U64], // x87 data pointer
  [0x418, U64],
  [0x412, 0x7ffn],
  [0x414, 0xffffn],
  [0x416, 0xffffn],
];
const SEGMENT_OFFSETS = Object.entries(VMSA_SEGMENTS);

/** A state that the emulated processor can be in. */
const vmsa = fc
  .record({
    words: fc.array(fc.bigInt({ min: 0n, max: U64 }), { minLength: FREE.length, maxLength: FREE.length }),
    bases: fc.array(fc.bigInt({ min: 0n, max: U64 }), { minLength: 10, maxLength: 10 }),
    selectors: fc.array(fc.nat(0xffff), { minLength: 10, maxLength: 10 }),
    limits: fc.array(fc.nat(0xffff_ffff), { minLength: 10, maxLength: 10 }),
    attributes: fc.array(fc.nat(0xfff), { minLength: 10, maxLength: 10 }),
    xmm: fc.uint8Array({ minLength: 256, maxLength: 256 }),
    noise: fc.uint8Array({ minLength: 4096, maxLength: 4096 }),
    long: fc.boolean(),
    cpl: fc.nat(3),
    tscAux: fc.nat(0xffff_ffff),
    mxcsr: fc.nat(0xffbf).map((n) => n & ~0x40),
    x87: fc.uint8Array({ minLength: 80, maxLength: 80 }),
    status: fc.nat(0x3f).chain((flags) => fc.nat(7).map((top) => flags | (top << 11))),
    tag: fc.nat(0xffff),
  })
  .map((r) => {
    const bytes = r.noise;
    const v = view(bytes);
    const set = (at: number, value: bigint): void => v.setBigUint64(at, value, true);
    for (const [n, [at, bits]] of FREE.entries()) {
      if (at >= 0x412 && at <= 0x416) v.setUint16(at, Number((r.words[n] ?? 0n) & bits), true);
      else set(at, (r.words[n] ?? 0n) & bits);
    }
    set(0x170, v.getBigUint64(0x170, true) | 2n);
    for (const [n, [name, at]] of SEGMENT_OFFSETS.entries()) {
      if (name !== 'gdtr' && name !== 'idtr') {
        v.setUint16(at, r.selectors[n] ?? 0, true);
        v.setUint16(at + 2, r.attributes[n] ?? 0, true);
      }
      v.setUint32(at + 4, name === 'gdtr' || name === 'idtr' ? (r.limits[n] ?? 0) & 0xffff : (r.limits[n] ?? 0), true);
      set(at + 8, r.bases[n] ?? 0n);
    }
    set(VMSA_AT.efer, r.long ? 0x1d01n : 0x1001n);
    set(VMSA_AT.cr0, r.long ? 0x8001_0033n : 0x11n);
    set(VMSA_AT.cr4, 0x6e0n);
    set(VMSA_AT.dr7, 0x400n);
    set(VMSA_AT.xcr0, 3n);
    set(0x270, 0n);
    set(VMSA_AT.sevFeatures, 0x21n);
    bytes[VMSA_AT.cpl] = r.cpl;
    v.setUint32(0x2ec, r.tscAux, true);
    v.setUint32(VMSA_AT.mxcsr, r.mxcsr, true);
    bytes.set(r.xmm, VMSA_AT.xmm);
    bytes.set(r.x87, 0x420);
    // All exceptions masked, so that ES and B are clear.
    v.setUint16(0x410, 0x37f, true);
    v.setUint16(0x40e, r.status, true);
    v.setUint16(0x40c, r.tag, true);
    return bytes;
  });

/** The tag word is made anew from the registers: only "empty" is state. */
const emptyTags = (bytes: Uint8Array): boolean[] => {
  const tag = view(bytes).getUint16(0x40c, true);
  return [0, 1, 2, 3, 4, 5, 6, 7].map((n) => ((tag >> (2 * n)) & 3) === 3);
};

describe('VMSA and registers', () => {
  it('what is loaded is stored again, and bytes that the processor does not use stay', () => {
    const vcpu = smallMachine([0xf4]);
    fc.assert(
      fc.property(vmsa, (before) => {
        loadVmsa(vcpu, before);
        const after = before.slice();
        storeVmsa(vcpu, after);
        assert.deepEqual(emptyTags(after), emptyTags(before));
        after.copyWithin(0x40c, 0x40c);
        after.set(before.subarray(0x40c, 0x40e), 0x40c);
        for (let n = 0; n < 4096; n++) {
          if (after[n] !== before[n]) assert.fail(`byte 0x${n.toString(16)}: ${before[n]} became ${after[n]}`);
        }
      }),
      { numRuns: 200, seed: 7 },
    );
  });

  it('every field that is stored is loaded: a page of another state does not shine through', () => {
    const vcpu = smallMachine([0xf4]);
    fc.assert(
      fc.property(vmsa, vmsa, (first, second) => {
        loadVmsa(vcpu, first);
        loadVmsa(vcpu, second);
        const after = second.slice();
        storeVmsa(vcpu, after);
        after.set(second.subarray(0x40c, 0x40e), 0x40c);
        assert.deepEqual(after, second);
      }),
      { numRuns: 50, seed: 8 },
    );
  });

  it('LMA follows from LME and PG, and real mode has CPL 0', () => {
    const vcpu = smallMachine([0xf4]);
    const bytes = new Uint8Array(4096);
    storeVmsa(vcpu, bytes);
    const v = view(bytes);
    v.setBigUint64(VMSA_AT.efer, 0x1101n, true);
    loadVmsa(vcpu, bytes);
    assert.equal(vcpu.state.efer, 0x1501);
    v.setBigUint64(VMSA_AT.cr0, 0x10n, true);
    bytes[VMSA_AT.cpl] = 3;
    loadVmsa(vcpu, bytes);
    assert.deepEqual([vcpu.state.efer, vcpu.state.cpl], [0x1101, 0]);
  });

  const missing: readonly (readonly [string, number, bigint, RegExp])[] = [
    ['virtual-8086 mode', 0x170, 0x2_0002n, /virtual-8086/],
    ['AVX', 0x3e8, 7n, /XCR0/],
    ['protection keys', 0x148, 0x40_0020n, /CR4/],
    ['branch recording', 0x270, 1n, /DBGCTL/],
    ['fast FXSAVE', 0x0d0, 0x5d01n, /EFER/],
  ];
  for (const [name, at, value, message] of missing) {
    it(`${name} in a VMSA ends in a Fault`, () => {
      const vcpu = smallMachine([0xf4]);
      const bytes = new Uint8Array(4096);
      storeVmsa(vcpu, bytes);
      view(bytes).setBigUint64(at, value, true);
      assert.throws(
        () => loadVmsa(vcpu, bytes),
        (thrown: { fault?: { message: string } }) => message.test(thrown.fault?.message ?? ''),
      );
    });
  }
});
