import assert from 'node:assert/strict';
import { gfn, gpa } from '../../../../engine/address.js';
import { type NptEntry, nptMap, nptZap } from '../../../../engine/cpu/svm/nested-page-table.js';
import { EXIT } from '../../../../engine/cpu/svm/vmcb.js';
import { VMSA_AT } from '../../../../engine/cpu/svm/vmsa-state.js';
import { plainPage } from '../../../../engine/memory/system-memory.js';
import type { RmpEntry } from '../../../../engine/rmp/entry.js';
import { readEntry, writeEntry } from '../../../../engine/rmp/table.js';
import { NPF } from '../../../../engine/spec/npf-error.js';
import { CODE, type SmallGuest, smallGuest } from './small-guest.js';

/** EXITINFO1 of every kind of access against every kind of refusal: APM volume 2, 15.25.6 and 15.36.10. */

const u32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
const SHARED = 0x20_0000;
const PAGE = 0x1e;
const at = (base: number): number[] => u32(base + PAGE * 4096 + 0x128);
const MOV_RAX = (base: number): number[] => [0x48, 0x8b, 0x04, 0x25, ...at(base)];
const MOV_TO = (base: number): number[] => [0x48, 0x89, 0x04, 0x25, ...at(base)];
const JMP = (base: number): number[] => [0xb8, ...at(base), 0xff, 0xe0];

const { P, W, U, ID, RMP, FINAL, ENC, VMPL, WALK } = NPF;
interface Access {
  readonly name: string;
  readonly code: readonly number[];
  /** RIP behind the start of the code, and the bits of the access. */
  readonly skip?: bigint;
  readonly bits: number;
}
const ACCESSES: readonly Access[] = [
  { name: 'private read', code: MOV_RAX(0), bits: U + FINAL + ENC },
  { name: 'private write', code: MOV_TO(0), bits: U + FINAL + ENC + W },
  { name: 'shared read', code: MOV_RAX(SHARED), bits: U + FINAL },
  { name: 'shared write', code: MOV_TO(SHARED), bits: U + FINAL + W },
  { name: 'fetch', code: JMP(0), bits: U + FINAL + ENC + ID },
  { name: 'fetch through C = 0', code: JMP(SHARED), bits: U + FINAL + ENC + ID },
];

type Refusal = readonly [
  name: string,
  prepare: (guest: SmallGuest) => void,
  bits: number,
  of: (access: Access) => boolean,
];
const isWrite = ({ bits }: Access): boolean => bits % 4 >= 2;
const isPrivate = ({ bits }: Access): boolean => bits >= ENC;
const map = (guest: SmallGuest, change: Partial<NptEntry>): void => {
  const entry = { pfn: guest.page(PAGE), writable: true, size2M: false, reserved: false, ...change };
  nptMap(guest.vmcb.nestedPageTable, gfn(PAGE), entry);
};
const rmp = (guest: SmallGuest, change: Partial<RmpEntry>): void => {
  const { rmp: table } = guest.machine;
  writeEntry(table, guest.page(PAGE), { ...readEntry(table, guest.page(PAGE)), ...change });
};
const REFUSALS: readonly Refusal[] = [
  ['not mapped', (g) => nptZap(g.vmcb.nestedPageTable, gfn(PAGE), gfn(PAGE + 1)), 0, () => true],
  ['read-only', (g) => map(g, { writable: false }), P, isWrite],
  ['of the host', (g) => rmp(g, { assigned: false, asid: 0 }), P + RMP, isPrivate],
  ['assigned', () => {}, P + RMP, (a) => isWrite(a) && !isPrivate(a)],
  ['of another guest', (g) => rmp(g, { asid: 2 }), P + RMP, isPrivate],
  ['for another address', (g) => rmp(g, { gpa: gpa(0x1_d000) }), P + RMP, isPrivate],
  ['immutable', (g) => rmp(g, { immutable: true }), P + RMP, isPrivate],
  ['without rights', (g) => rmp(g, { vmpl: [0, 15, 15, 15] }), P + RMP + VMPL, isPrivate],
  // A refusal that comes first hides the later ones.
  ['immutable and not validated', (g) => rmp(g, { immutable: true, validated: false }), P + RMP, isPrivate],
];

describe('nested page faults', () => {
  for (const access of ACCESSES) {
    for (const [name, prepare, bits, of] of REFUSALS) {
      if (!of(access)) continue;
      it(`${access.name} of a page ${name}`, () => {
        const guest = smallGuest(access.code, { sharedAt: SHARED });
        prepare(guest);
        guest.run();
        const isFetch = access.name.startsWith('fetch');
        assert.equal(guest.vmcb.exitCode, EXIT.NPF);
        assert.equal(guest.vmcb.exitInfo1.toString(16), BigInt(access.bits + bits).toString(16));
        assert.equal(guest.vmcb.exitInfo2, BigInt(PAGE * 4096 + 0x128));
        const linear = BigInt((access.name.includes('C = 0') ? SHARED : 0) + PAGE * 4096 + 0x128);
        assert.equal(guest.saved(VMSA_AT.rip), isFetch ? linear : CODE);
      });
    }
    if (!isPrivate(access)) continue;
    it(`${access.name} of a page not validated, also without rights`, () => {
      const guest = smallGuest(access.code, { sharedAt: SHARED });
      rmp(guest, { validated: false, vmpl: [0, 0, 0, 0] });
      const thrown = guest.run().find((event) => event.kind === 'exception');
      assert.deepEqual(thrown?.kind === 'exception' && [thrown.vector, thrown.errorCode], [29, 0x404]);
      const linear = BigInt((access.name.includes('C = 0') ? SHARED : 0) + PAGE * 4096 + 0x128);
      assert.equal(guest.saved(VMSA_AT.cr2), linear);
    });
  }

  // The page directory of the small machine, entry 0.
  const TABLE = 0x12;
  const walks: readonly (readonly [string, (guest: SmallGuest) => void, number])[] = [
    ['not mapped', (g) => nptZap(g.vmcb.nestedPageTable, gfn(TABLE), gfn(TABLE + 1)), 0],
    [
      'mapped read-only, even without a bit to set',
      (g) =>
        nptMap(g.vmcb.nestedPageTable, gfn(TABLE), {
          pfn: g.page(TABLE),
          writable: false,
          size2M: false,
          reserved: false,
        }),
      P,
    ],
    [
      'of the host',
      (g) => {
        const { rmp: table } = g.machine;
        writeEntry(table, g.page(TABLE), { ...readEntry(table, g.page(TABLE)), assigned: false, asid: 0 });
      },
      P + RMP,
    ],
  ];
  for (const [name, prepare, bits] of walks) {
    it(`walk through a page table ${name}`, () => {
      const guest = smallGuest(MOV_RAX(0), { sharedAt: SHARED });
      prepare(guest);
      guest.run();
      assert.equal(guest.vmcb.exitInfo1.toString(16), BigInt(U + W + WALK + ENC + bits).toString(16));
      assert.equal(guest.vmcb.exitInfo2, BigInt(TABLE * 4096));
    });
  }

  it('A and D bits need no right of the VMPL to write where they are set already', () => {
    const guest = smallGuest([...MOV_RAX(0), 0xf4]);
    const { rmp: table } = guest.machine;
    for (const n of [0x10, 0x11, 0x12]) {
      const { bytes } = plainPage(guest.machine.memory, guest.page(n)).content;
      bytes[0] = (bytes[0] ?? 0) | 0x60;
      writeEntry(table, guest.page(n), { ...readEntry(table, guest.page(n)), vmpl: [1, 0, 0, 0] });
    }
    guest.run();
    assert.equal(guest.vmcb.exitCode, EXIT.HLT);
  });

  it('user mode fetches with the user’s right to execute', () => {
    const allowed = smallGuest([0x90, 0x0f, 0xa2], { cpl: 3, vmplMasks: [7, 0, 0, 0] });
    const thrown = allowed.run().find((event) => event.kind === 'exception');
    // The handler runs at CPL 0, where the right is missing.
    assert.deepEqual(thrown?.kind === 'exception' && thrown.errorCode, 0x72);
    assert.equal(allowed.vmcb.exitInfo1, BigInt(P + RMP + U + FINAL + ENC + ID + VMPL));
    const refused = smallGuest([0x90], { cpl: 3, vmplMasks: [11, 0, 0, 0] });
    refused.run();
    assert.equal(refused.vmcb.exitInfo1, BigInt(P + RMP + U + FINAL + ENC + ID + VMPL));
    assert.equal(refused.saved(VMSA_AT.rip), CODE);
  });
});
