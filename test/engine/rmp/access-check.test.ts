import assert from 'node:assert/strict';
import { gpa, pfn } from '../../../engine/address.js';
import { checkGuestAccess, type GuestAccess } from '../../../engine/rmp/access-check.js';
import { HYPERVISOR_ENTRY, type RmpEntry } from '../../../engine/rmp/entry.js';
import { isHypervisorOwned } from '../../../engine/rmp/hypervisor-owned.js';
import { fillEntries, readEntry, writeEntry } from '../../../engine/rmp/table.js';
import { assertAllProduced } from '../../support/fault-coverage.js';
import { guestPage, HEAD, HOME, hypervisorPage, tableWith, UNCOVERED } from './support.js';

const P = 0x1;
const W = 0x2;
const U = 0x4;
const ID = 0x10;
const RMP = 0x8000_0000;
const FINAL = 0x1_0000_0000;
const WALK = 0x2_0000_0000;
const ENC = 0x4_0000_0000;
const VMPL = 0x10_0000_0000;
const READ = P + U + RMP + FINAL + ENC;

const access = (fields: Partial<GuestAccess> = {}): GuestAccess => ({
  asid: 1,
  vmpl: 0,
  gpa: HOME,
  kind: 'read',
  user: false,
  encrypted: true,
  walk: false,
  nptPageSize2M: false,
  ...fields,
});
const shared = (fields: Partial<GuestAccess> = {}): GuestAccess => access({ encrypted: false, ...fields });
const produced = new Set<string>();

interface Case {
  readonly name: string;
  readonly entry: RmpEntry;
  readonly access?: GuestAccess;
  readonly page?: number;
  /** Undefined: allowed. */
  readonly fails?: readonly [rule: string, errorCode: number, text: RegExp];
}

const in2M = guestPage({ pageSize2M: true });

const cases: Case[] = [
  { name: 'a private read of an own page', entry: guestPage() },
  { name: 'a private write', entry: guestPage(), access: access({ kind: 'write' }) },
  { name: 'a fetch', entry: guestPage(), access: access({ kind: 'execute' }) },
  { name: 'the page walk', entry: guestPage(), access: access({ walk: true }) },
  {
    name: 'a page within 2 MiB',
    entry: in2M,
    page: 9,
    access: access({ gpa: gpa(HOME + 0x9000), nptPageSize2M: true }),
  },
  { name: 'a shared read of anything', entry: guestPage({ asid: 7, immutable: true }), access: shared() },
  { name: 'a shared read without an entry', entry: guestPage(), page: UNCOVERED - HEAD, access: shared() },
  { name: 'a shared write to the hypervisor’s', entry: hypervisorPage(), access: shared({ kind: 'write' }) },
  {
    name: 'a shared write without an entry',
    entry: guestPage(),
    page: UNCOVERED - HEAD,
    access: shared({ kind: 'write' }),
  },
  {
    name: 'a shared write to an own private page',
    entry: guestPage(),
    access: shared({ kind: 'write' }),
    fails: ['hypervisor-owned', P + W + U + RMP + FINAL, /assigned to this guest \(ASID 1\) as GPA 0x40000000/],
  },
  {
    name: 'a shared write within 2 MiB of another guest',
    entry: guestPage({ pageSize2M: true, asid: 7 }),
    page: 5,
    access: shared({ kind: 'write' }),
    fails: ['hypervisor-owned', P + W + U + RMP + FINAL, /assigned to the guest with ASID 7/],
  },
  {
    name: 'a shared write through 2 MiB beside an assigned page',
    entry: guestPage(),
    page: 300,
    access: shared({ kind: 'write', nptPageSize2M: true }),
    fails: ['hypervisor-owned', P + W + U + RMP + FINAL, /in that region the page at SPA 0x800000 is assigned/],
  },
  {
    name: 'a private read without an entry',
    entry: guestPage(),
    page: UNCOVERED - HEAD,
    fails: ['covered', READ, /covers memory below 0x1000000/],
  },
  {
    name: 'a private read of a page that nobody assigned',
    entry: hypervisorPage(),
    fails: ['guest-owned', READ, /assigned to no guest \(state Hypervisor\)/],
  },
  {
    name: 'a region that was never written',
    entry: guestPage(),
    page: 1024,
    fails: ['guest-owned', READ, /assigned to no guest/],
  },
  {
    name: 'a fetch through C-bit 0 from a shared page is private',
    entry: hypervisorPage(),
    access: shared({ kind: 'execute' }),
    fails: ['guest-owned', READ + ID, /Instruction fetch .* is private/],
  },
  {
    name: 'a page table in a shared page',
    entry: hypervisorPage(),
    access: shared({ walk: true }),
    fails: ['guest-owned', P + W + U + RMP + WALK + ENC, /page-table entry/],
  },
  {
    name: 'the page of another guest',
    entry: guestPage({ asid: 7 }),
    access: access({ kind: 'write' }),
    fails: ['guest-owned', READ + W, /assigned to the guest with ASID 7 \(state Guest-Valid\)/],
  },
  {
    name: 'a page of the firmware',
    entry: guestPage({ asid: 0, immutable: true, validated: false }),
    fails: ['guest-owned', READ, /held by the firmware/],
  },
  {
    name: 'a swapped page',
    entry: guestPage({ gpa: gpa(0x5000) }),
    fails: ['reverse-map', READ, /backs GPA 0x5000/],
  },
  {
    name: 'a page within 2 MiB, mapped one page off',
    entry: in2M,
    page: 9,
    access: access({ gpa: gpa(HOME + 0x8000), nptPageSize2M: true }),
    fails: ['reverse-map', READ, /backs GPA 0x40009000/],
  },
  { name: 'an immutable page', entry: guestPage({ immutable: true }), fails: ['mutable', READ, /state Pre-Swap/] },
  {
    name: 'a 4 KiB mapping of 2 MiB',
    entry: in2M,
    page: 1,
    access: access({ gpa: gpa(HOME + 0x1000) }),
    fails: ['page-size', READ, /maps the page with 4K, the RMP entry of SPA 0x801000 is of 2M/],
  },
  {
    name: 'a 2 MiB mapping of 4 KiB',
    entry: guestPage(),
    access: access({ nptPageSize2M: true }),
    fails: ['page-size', READ, /with 2M, .* is of 4K/],
  },
  {
    name: 'a page that the guest forgot to validate',
    entry: guestPage({ validated: false }),
    access: access({ kind: 'write' }),
    fails: ['validated', 0x404, /Validated bit is 0 \(state Guest-Invalid\).*never ran PVALIDATE/],
  },
  {
    name: 'a page that VMPL1 may not see',
    entry: guestPage(),
    access: access({ vmpl: 1 }),
    fails: ['vmpl', READ + VMPL, /needs the permission read; the RMP entry gives VMPL1 ---- \(no access\)/],
  },
  { name: 'a read that VMPL2 may do', entry: guestPage({ vmpl: [15, 0, 1, 0] }), access: access({ vmpl: 2 }) },
  {
    name: 'a write to a page that VMPL3 may read',
    entry: guestPage({ vmpl: [15, 0, 0, 1] }),
    access: access({ vmpl: 3, kind: 'write' }),
    fails: ['vmpl', READ + W + VMPL, /read and write; .* VMPL3 r--- \(read\)/],
  },
  {
    name: 'A and D bits of a page table that VMPL1 may read',
    entry: guestPage({ vmpl: [15, 1, 0, 0] }),
    access: access({ vmpl: 1, kind: 'write', walk: true }),
    fails: ['vmpl', P + W + U + RMP + WALK + ENC + VMPL, /Update of a page-table entry/],
  },
  {
    name: 'a read of a write-only page',
    entry: guestPage({ vmpl: [15, 2, 0, 0] }),
    access: access({ vmpl: 1 }),
    fails: ['vmpl', READ + VMPL, /write without read is no permission/],
  },
  {
    name: 'a write to a write-only page',
    entry: guestPage({ vmpl: [15, 2, 0, 0] }),
    access: access({ vmpl: 1, kind: 'write' }),
    fails: ['vmpl', READ + W + VMPL, /write without read is no permission/],
  },
  {
    name: 'user code in a page for the kernel’s',
    entry: guestPage({ vmpl: [15, 9, 0, 0] }),
    access: access({ vmpl: 1, kind: 'execute', user: true }),
    fails: ['vmpl', READ + ID + VMPL, /execute at CPL 3; .* r--s/],
  },
  {
    name: 'kernel code in that page',
    entry: guestPage({ vmpl: [15, 9, 0, 0] }),
    access: access({ vmpl: 1, kind: 'execute' }),
  },
  {
    name: 'kernel code in a page for user code',
    entry: guestPage({ vmpl: [15, 5, 0, 0] }),
    access: access({ vmpl: 1, kind: 'execute' }),
    fails: ['vmpl', READ + ID + VMPL, /execute at CPL 0 to 2/],
  },
  {
    name: 'user data: CPL does not matter',
    entry: guestPage({ vmpl: [15, 1, 0, 0] }),
    access: access({ vmpl: 1, user: true }),
  },
];

describe('RMP check of a guest access', () => {
  for (const c of cases) {
    it(`${c.name} → ${c.fails?.[0] ?? 'allowed'}`, () => {
      const rmp = tableWith(c.entry);
      const verdict = checkGuestAccess(rmp, pfn(HEAD + (c.page ?? 0)), c.access ?? access());
      if (!c.fails) {
        assert.deepEqual(verdict, { ok: true });
        return;
      }
      const [rule, errorCode, text] = c.fails;
      if (verdict.ok) assert.fail('allowed');
      const outcome = rule === 'validated' ? 'vc' : 'npf';
      assert.deepEqual(
        { rule: verdict.rule, outcome: verdict.outcome, errorCode: verdict.errorCode.toString(16) },
        { rule, outcome, errorCode: errorCode.toString(16) },
      );
      const fault = verdict.fault();
      assert.match(fault.message, text);
      produced.add(fault.check);
    });
  }

  // Everything is wrong at first; each repair lets the next check speak.
  it('goes through the checks in order', () => {
    const repairs: Partial<RmpEntry>[] = [
      { assigned: true, asid: 1 },
      { gpa: HOME },
      { immutable: false },
      { pageSize2M: false },
      { validated: true },
      { vmpl: [15, 3, 0, 0] },
    ];
    let entry: RmpEntry = { ...HYPERVISOR_ENTRY, immutable: true, pageSize2M: true };
    const rules: string[] = [];
    for (const repair of [{}, ...repairs]) {
      entry = { ...entry, ...repair };
      const verdict = checkGuestAccess(tableWith(entry), HEAD, access({ vmpl: 1, kind: 'write' }));
      rules.push(verdict.ok ? 'allowed' : verdict.rule);
    }
    assert.deepEqual(rules, ['guest-owned', 'reverse-map', 'mutable', 'page-size', 'validated', 'vmpl', 'allowed']);
  });

  it('tells of the entry as it was at the access', () => {
    const rmp = tableWith(guestPage({ validated: false }));
    const verdict = checkGuestAccess(rmp, HEAD, access());
    writeEntry(rmp, HEAD, HYPERVISOR_ENTRY);
    assert.ok(!verdict.ok && /Guest-Invalid/.test(verdict.fault().message));
  });

  it('reads regions that stand for many', () => {
    const rmp = tableWith(guestPage());
    fillEntries(rmp, pfn(0), 1024, { ...HYPERVISOR_ENTRY, assigned: true, immutable: true });
    const verdict = checkGuestAccess(rmp, pfn(700), access());
    assert.ok(!verdict.ok && verdict.rule === 'guest-owned');
    assert.equal(readEntry(rmp, pfn(700)).immutable, true);
  });

  it('knows every check', () => assertAllProduced(produced, ['hw-access-']));
});

describe('Hypervisor-Owned', () => {
  const rmp = tableWith(guestPage());
  const owned: [name: string, page: number, mapping2M: boolean, expected: boolean][] = [
    ['an assigned page', HEAD, false, false],
    ['its neighbour', HEAD + 1, false, true],
    ['its neighbour through 2 MiB', HEAD + 1, true, false],
    ['another region through 2 MiB', HEAD + 512, true, true],
    ['a page without an entry', UNCOVERED, false, true],
    ['a page without an entry through 2 MiB', UNCOVERED, true, true],
  ];
  for (const [name, page, mapping2M, expected] of owned)
    it(`${name}: ${expected}`, () => assert.equal(isHypervisorOwned(rmp, pfn(page), mapping2M), expected));

  it('not within a 2 MiB page', () => {
    const table = tableWith(guestPage({ pageSize2M: true }));
    assert.equal(isHypervisorOwned(table, pfn(HEAD + 511), false), false);
  });
});
