import assert from 'node:assert/strict';
import { gpa, PAGES_PER_2M, type Pfn, pfn } from '../../../engine/address.js';
import { HYPERVISOR_ENTRY, type RmpEntry, VMPL_ALL } from '../../../engine/rmp/entry.js';
import { pageState } from '../../../engine/rmp/page-state.js';
import { psmash } from '../../../engine/rmp/psmash.js';
import { type RmpState, rmpUpdate, SHARED } from '../../../engine/rmp/rmpupdate.js';
import { effectiveEntry, readEntry, writeEntry } from '../../../engine/rmp/table.js';
import {
  BARE_PAGES,
  collect,
  createBareMachine,
  createInitialisedMachine,
  must,
  run,
} from '../../support/bare-machine.js';
import { assertAllProduced } from '../../support/fault-coverage.js';

const HEAD = pfn(4 * PAGES_PER_2M);
const guest = (fields: Partial<RmpState> = {}): RmpState => ({
  assigned: true,
  pageSize2M: false,
  immutable: false,
  gpa: gpa(0x10_0000),
  asid: 1,
  ...fields,
});
const guest2M = (fields: Partial<RmpState> = {}): RmpState =>
  guest({ pageSize2M: true, gpa: gpa(0x20_0000), ...fields });
const shared = (pageSize2M = false): RmpState => ({ ...SHARED, pageSize2M });
const put = (fields: Partial<RmpEntry>): RmpEntry => ({ ...HYPERVISOR_ENTRY, ...fields });

const produced = new Set<string>();

describe('RMPUPDATE', () => {
  interface Case {
    readonly name: string;
    /** Entry written before, at HEAD + offset. */
    readonly before?: readonly (readonly [offset: number, entry: Partial<RmpEntry>])[];
    readonly page?: Pfn;
    readonly state: RmpState;
    /** Return code and check; undefined: success. */
    readonly fails?: readonly [code: number, check: string];
  }
  const cases: Case[] = [
    { name: 'gives a page to a guest', state: guest() },
    { name: 'gives 2 MiB to a guest', state: guest2M() },
    { name: '2 MiB at an odd page', page: pfn(HEAD + 1), state: guest2M(), fails: [1, 'hw-rmpupdate-alignment'] },
    { name: 'a page without an entry', page: pfn(BARE_PAGES), state: guest(), fails: [1, 'hw-rmpupdate-uncovered'] },
    { name: 'a GPA within a page', state: guest({ gpa: gpa(0x1001) }), fails: [1, 'hw-rmpupdate-gpa-alignment'] },
    {
      name: 'a 2 MiB page at a 4 KiB GPA',
      state: guest2M({ gpa: gpa(0x20_1000) }),
      fails: [1, 'hw-rmpupdate-gpa-alignment'],
    },
    { name: 'a GPA with the C-bit', state: guest({ gpa: gpa(2 ** 51) }), fails: [1, 'hw-rmpupdate-gpa-range'] },
    { name: 'the highest ASID', state: guest({ asid: 1006 }) },
    { name: 'an ASID above', state: guest({ asid: 1007 }), fails: [1, 'hw-rmpupdate-asid'] },
    {
      name: 'an owner of an unassigned page',
      state: guest({ assigned: false }),
      fails: [2, 'hw-rmpupdate-unassigned-fields'],
    },
    {
      name: 'an unassigned immutable page',
      state: guest({ assigned: false, asid: 0, immutable: true }),
      fails: [2, 'hw-rmpupdate-unassigned-fields'],
    },
    {
      name: 'a Firmware page',
      before: [[0, { assigned: true, immutable: true }]],
      state: shared(),
      fails: [2, 'hw-rmpupdate-immutable'],
    },
    {
      name: 'a Pre-Guest page',
      before: [[0, { assigned: true, immutable: true, asid: 1 }]],
      state: shared(),
      fails: [2, 'hw-rmpupdate-immutable'],
    },
    {
      name: 'an HV-Fixed page',
      before: [[0, { immutable: true }]],
      state: guest(),
      fails: [2, 'hw-rmpupdate-immutable'],
    },
    {
      name: '2 MiB around an HV-Fixed page',
      before: [[17, { immutable: true }]],
      state: guest2M(),
      fails: [2, 'hw-rmpupdate-immutable'],
    },
    {
      name: 'a page of an immutable 2 MiB page',
      before: [[0, { assigned: true, immutable: true, pageSize2M: true, asid: 1 }]],
      page: pfn(HEAD + 3),
      state: shared(),
      fails: [2, 'hw-rmpupdate-immutable'],
    },
    {
      name: 'a locked page',
      before: [[0, { assigned: true, asid: 1, lock: true }]],
      state: shared(),
      fails: [3, 'hw-rmpupdate-in-use'],
    },
    {
      name: '4 KiB inside 2 MiB',
      before: [[0, { assigned: true, asid: 1, pageSize2M: true }]],
      page: pfn(HEAD + 9),
      state: guest(),
      fails: [4, 'hw-rmpupdate-overlap-2m'],
    },
    {
      name: 'the first 4 KiB of 2 MiB',
      before: [[0, { assigned: true, asid: 1, pageSize2M: true }]],
      state: shared(),
      fails: [4, 'hw-rmpupdate-overlap-2m'],
    },
    {
      name: '2 MiB over a 4 KiB page',
      before: [[5, { assigned: true, asid: 1 }]],
      state: guest2M(),
      fails: [4, 'hw-rmpupdate-overlap-4k'],
    },
    { name: 'takes 2 MiB back', before: [[0, { assigned: true, asid: 1, pageSize2M: true }]], state: shared(true) },
  ];
  for (const c of cases) {
    it(`${c.name}${c.fails ? ` → ${c.fails[1]}` : ''}`, () => {
      const machine = createInitialisedMachine();
      for (const [offset, entry] of c.before ?? []) writeEntry(machine.rmp, pfn(HEAD + offset), put(entry));
      const page = c.page ?? HEAD;
      const before = readEntry(machine.rmp, page);
      const { value, events } = collect(rmpUpdate(machine, page, c.state));
      if (c.fails) {
        assert.deepEqual([value.code, value.fault?.check], c.fails);
        assert.deepEqual(readEntry(machine.rmp, page), before);
        assert.equal(events.filter((e) => e.kind === 'rmp').length, 0);
        if (value.fault) produced.add(value.fault.check);
      } else {
        assert.deepEqual(value, { code: 0 });
        assert.deepEqual(
          events.map((e) => e.kind),
          ['enter', 'rmp', 'leave'],
        );
        assert.equal(readEntry(machine.rmp, page).assigned, c.state.assigned);
      }
      assert.equal(machine.stack.frames.length, 0);
    });
  }

  describe('moves a page from state to state', () => {
    const g = { assigned: true, asid: 1, gpa: gpa(0x10_0000) };
    const valid = put({ ...g, validated: true, vmpl: [VMPL_ALL, 3, 0, 0] });
    const moves: [name: string, before: RmpEntry, state: RmpState, after: string, masks?: readonly number[]][] = [
      ['Hypervisor → Firmware', put({}), guest({ asid: 0, gpa: gpa(0), immutable: true }), 'Firmware'],
      ['Hypervisor → Guest-Invalid', put({}), guest(), 'Guest-Invalid', [VMPL_ALL, 0, 0, 0]],
      ['Hypervisor → Pre-Guest', put({}), guest({ immutable: true }), 'Pre-Guest'],
      ['Guest-Invalid → Hypervisor', put(g), shared(), 'Hypervisor'],
      ['Guest-Invalid → Pre-Guest', put(g), guest({ immutable: true }), 'Pre-Guest'],
      ['Guest-Valid → Hypervisor', valid, shared(), 'Hypervisor'],
      ['Guest-Valid → Pre-Swap keeps the masks', valid, guest({ immutable: true }), 'Pre-Swap', [VMPL_ALL, 3, 0, 0]],
      ['Guest-Valid → Guest-Invalid (GPA)', valid, guest({ gpa: gpa(0x5000) }), 'Guest-Invalid', [VMPL_ALL, 0, 0, 0]],
      ['Guest-Valid → Guest-Invalid (ASID)', valid, guest({ asid: 2 }), 'Guest-Invalid'],
      ['Reclaim → Hypervisor', put({ assigned: true }), shared(), 'Hypervisor'],
    ];
    for (const [name, before, state, after, masks] of moves) {
      it(name, () => {
        const machine = createInitialisedMachine();
        writeEntry(machine.rmp, HEAD, before);
        must(rmpUpdate(machine, HEAD, state));
        const entry = readEntry(machine.rmp, HEAD);
        assert.equal(pageState(entry), after);
        if (masks) assert.deepEqual(entry.vmpl, masks);
      });
    }
  });

  it('works before SNP_INIT', () => {
    const machine = createBareMachine();
    must(rmpUpdate(machine, HEAD, guest()));
    assert.equal(readEntry(machine.rmp, HEAD).asid, 1);
  });
});

describe('PSMASH', () => {
  const region = { assigned: true, pageSize2M: true, asid: 3, gpa: gpa(0x4000_0000), validated: true };
  const cases: [name: string, before: Partial<RmpEntry>, page: Pfn, code: number, check: string][] = [
    ['an odd page', region, pfn(HEAD + 1), 1, 'hw-psmash-alignment'],
    ['a page without an entry', region, pfn(BARE_PAGES), 4, 'hw-psmash-uncovered'],
    ['a 4 KiB page', { assigned: true, asid: 1 }, HEAD, 1, 'hw-psmash-not-2m'],
    ['a Hypervisor page', {}, HEAD, 1, 'hw-psmash-not-2m'],
    ['an immutable page', { ...region, immutable: true }, HEAD, 2, 'hw-psmash-immutable'],
    ['a locked page', { ...region, lock: true }, HEAD, 3, 'hw-psmash-in-use'],
  ];
  for (const [name, before, page, code, check] of cases) {
    it(`${name} → ${check}`, () => {
      const machine = createInitialisedMachine();
      writeEntry(machine.rmp, HEAD, put(before));
      const result = run(psmash(machine, page));
      assert.deepEqual([result.code, result.fault?.check], [code, check]);
      if (result.fault) produced.add(result.fault.check);
    });
  }

  it('splits a page into 512 with consecutive addresses', () => {
    const machine = createInitialisedMachine();
    writeEntry(machine.rmp, HEAD, put({ ...region, vmpl: [VMPL_ALL, 5, 0, 0] }));
    assert.equal(effectiveEntry(machine.rmp, pfn(HEAD + 7)).gpa, 0x4000_7000);
    const { value, events } = collect(psmash(machine, HEAD));
    assert.equal(value.code, 0);
    assert.equal(events.filter((e) => e.kind === 'rmp').length, PAGES_PER_2M);
    for (let i = 0; i < PAGES_PER_2M; i++) {
      const entry = readEntry(machine.rmp, pfn(HEAD + i));
      assert.deepEqual(
        { ...entry, subPageCount: 0 },
        put({ ...region, pageSize2M: false, gpa: gpa(0x4000_0000 + i * 4096), vmpl: [VMPL_ALL, 5, 0, 0] }),
      );
    }
    // 512 wraps in nine bits.
    assert.equal(readEntry(machine.rmp, HEAD).subPageCount, 0);
    must(rmpUpdate(machine, pfn(HEAD + 5), shared()));
    assert.equal(readEntry(machine.rmp, HEAD).subPageCount, 511);
  });
});

describe('checks of the RMP instructions', () => {
  it('have all been reached above', () => assertAllProduced(produced, ['hw-rmpupdate-', 'hw-psmash-']));
});
