import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { PscEntry } from '../../../../engine/kvm/ghcb/psc-buffer.js';
import { VMGEXIT } from '../../../../engine/spec/ghcb-layout.js';
import type { KvmRelease } from '../../../../engine/spec/versions.js';
import { ALL_RELEASES } from '../cases/kvm-case.js';
import { complete, enter, exitOf, fakeGuest, framesOf, readGuest, vmgexit, writeGuest } from './fake-guest.js';
import { PSC_CASES } from './psc-cases.js';
import { entry, PRIVATE, performPsc, pscList, type Range, SHARED, SMASH, UNSMASH } from './psc-list.js';
import { testGhcbCases } from './refusal-case.js';

const range = (gfn: number, pages: number, attributes: number): Range => ({
  gpa: BigInt(gfn) << 12n,
  pages: BigInt(pages),
  attributes: BigInt(attributes),
});
/** KVM_MAP_GPA_RANGE_ENCRYPTED, and the hint for 2M. */
const [ENCRYPTED, SIZE_2M] = [0x10, 1];

interface PscCase {
  readonly name: string;
  readonly list: readonly PscEntry[];
  readonly curEntry?: number;
  readonly kvm?: readonly KvmRelease[];
  readonly ranges: readonly Range[];
  readonly curPages: readonly number[];
  /** Default: behind the last entry. */
  readonly ends?: number;
}

const MERGED: readonly KvmRelease[] = ['6.11', '6.18'];

const CASES: readonly PscCase[] = [
  { name: 'one page', list: [entry(5, PRIVATE)], ranges: [range(5, 1, ENCRYPTED)], curPages: [1] },
  {
    name: 'neighbours become one range',
    list: [entry(5, SHARED), entry(6, SHARED), entry(7, SHARED)],
    ranges: [range(5, 3, 0)],
    curPages: [1, 1, 1],
  },
  {
    name: 'a gap, another direction and a step back begin a new range',
    list: [entry(5, PRIVATE), entry(7, PRIVATE), entry(8, SHARED), entry(7, SHARED)],
    ranges: [range(5, 1, ENCRYPTED), range(7, 1, ENCRYPTED), range(8, 1, 0), range(7, 1, 0)],
    curPages: [1, 1, 1, 1],
  },
  {
    name: '2M pages join each other, not 4K pages',
    list: [entry(0x200, PRIVATE, true), entry(0x400, PRIVATE, true), entry(0x600, PRIVATE)],
    ranges: [range(0x200, 1024, ENCRYPTED | SIZE_2M), range(0x600, 1, ENCRYPTED)],
    curPages: [512, 512, 1],
  },
  {
    name: 'starts at cur_entry',
    list: [entry(5, PRIVATE), entry(6, PRIVATE)],
    curEntry: 1,
    ranges: [range(6, 1, ENCRYPTED)],
    curPages: [0, 1],
  },
  { name: 'behind the end there is nothing to do', list: [entry(5, PRIVATE)], curEntry: 1, ranges: [], curPages: [0] },
  {
    name: 'done entries in front are skipped',
    list: [entry(5, PRIVATE, false, 1), entry(6, PRIVATE)],
    ranges: [range(6, 1, ENCRYPTED)],
    curPages: [1, 1],
  },
  {
    name: 'PSMASH in front is skipped by v15, and its progress stays 0',
    list: [entry(0x200, SMASH, true), entry(6, PRIVATE)],
    kvm: ['v15'],
    ranges: [range(6, 1, ENCRYPTED)],
    curPages: [0, 1],
  },
  {
    name: 'PSMASH and UNSMASH count as done, wherever they stand',
    list: [entry(0x200, SMASH, true), entry(6, PRIVATE), entry(9, UNSMASH), entry(10, UNSMASH)],
    kvm: ['v15+fixes', ...MERGED],
    ranges: [range(6, 1, ENCRYPTED)],
    curPages: [512, 1, 1, 1],
  },
  {
    name: 'a list that is done already needs no exit',
    list: [entry(5, PRIVATE, false, 1), entry(0x200, SHARED, true, 512)],
    kvm: MERGED,
    ranges: [],
    curPages: [1, 512],
  },
  {
    name: 'the rest of a 2M page, with the hint 2M',
    list: [entry(0x200, PRIVATE, true, 500)],
    kvm: ['v15+fixes', ...MERGED],
    ranges: [range(0x200 + 500, 12, ENCRYPTED | SIZE_2M)],
    curPages: [512],
  },
  {
    name: 'the rest of a 2M page ends with cur_page 1 in v15',
    list: [entry(0x200, PRIVATE, true, 500)],
    kvm: ['v15'],
    ranges: [range(0x200 + 500, 12, ENCRYPTED | SIZE_2M)],
    curPages: [1],
  },
  {
    name: 'v15 joins a 2M page that is done in part, and converts all of it',
    list: [entry(0x200, PRIVATE, true), entry(0x400, PRIVATE, true, 500)],
    kvm: ['v15'],
    ranges: [range(0x200, 1024, ENCRYPTED | SIZE_2M)],
    curPages: [512, 512],
  },
  {
    name: 'a 2M page that is done in part begins a range',
    list: [entry(0x200, PRIVATE, true), entry(0x400, PRIVATE, true, 500)],
    kvm: ['v15+fixes', ...MERGED],
    ranges: [range(0x200, 512, ENCRYPTED | SIZE_2M), range(0x400 + 500, 12, ENCRYPTED | SIZE_2M)],
    curPages: [512, 512],
  },
  {
    name: 'what follows the rest of a 2M page is looked for at the wrong frame: v15 adds 512 pages',
    list: [entry(0, PRIVATE, true, 412), entry(100, PRIVATE)],
    kvm: ['v15'],
    ranges: [range(412, 612, ENCRYPTED | SIZE_2M)],
    curPages: [1, 1],
  },
  {
    name: 'what follows the rest of a 2M page is looked for at the wrong frame, with the fix-up, too',
    list: [entry(0, PRIVATE, true, 412), entry(100, PRIVATE)],
    kvm: ['v15+fixes'],
    ranges: [range(412, 612, ENCRYPTED | SIZE_2M)],
    curPages: [512, 1],
  },
  {
    name: 'what follows the rest of a 2M page is looked for at the wrong frame: one page too many',
    list: [entry(0, PRIVATE, true, 412), entry(100, PRIVATE)],
    kvm: MERGED,
    ranges: [range(412, 101, ENCRYPTED | SIZE_2M)],
    curPages: [512, 1],
  },
  {
    name: 'v15 joins a 4K page that is done',
    list: [entry(5, SHARED), entry(6, SHARED, false, 1)],
    kvm: ['v15'],
    ranges: [range(5, 2, 0)],
    curPages: [1, 1],
  },
  {
    name: 'a 4K page that is done is left alone',
    list: [entry(5, SHARED), entry(6, SHARED, false, 1), entry(7, SHARED)],
    kvm: ['v15+fixes', ...MERGED],
    ranges: [range(5, 1, 0), range(7, 1, 0)],
    curPages: [1, 1, 1],
  },
];

describe('page state changes by the GHCB', () => {
  describe('go wrong:', () => testGhcbCases(PSC_CASES));

  for (const { name, list, curEntry = 0, kvm = ALL_RELEASES, ranges, curPages, ends = list.length } of CASES) {
    for (const release of kvm) {
      it(`${name} (${release})`, () => {
        const outcome = performPsc(fakeGuest({ kvm: release }), pscList(list, curEntry));
        assert.equal(outcome.last.ret, 1, outcome.last.fault?.message);
        assert.deepEqual(outcome.ranges, ranges);
        assert.deepEqual(outcome.curPages, curPages);
        assert.equal(outcome.curEntry, ends);
        assert.equal(outcome.result, 0n);
      });
    }
  }

  it('253 entries fill the shared buffer', () => {
    const list = Array.from({ length: 253 }, (_, i) => entry(0x100 + i, PRIVATE));
    const { ranges, curEntry } = performPsc(fakeGuest(), pscList(list));
    assert.deepEqual([ranges, curEntry], [[range(0x100, 253, ENCRYPTED)], 253]);
  });

  it('are frames of their own', () => {
    const guest = fakeGuest();
    performPsc(guest, pscList([entry(5, PRIVATE), entry(9, PRIVATE)]));
    assert.deepEqual(framesOf(guest), ['snp_complete_one_psc']);
  });

  it('a list outside of the GHCB with its length is written back before VMRUN', () => {
    const guest = fakeGuest();
    writeGuest(guest, 0x9000, pscList([entry(5, PRIVATE)]));
    vmgexit(guest, { code: VMGEXIT.PSC, info2: 16n, fields: { SW_SCRATCH: 0x9000n } });
    exitOf(guest, 'KVM_EXIT_HYPERCALL');
    assert.equal(complete(guest).ret, 1);
    assert.equal(readGuest(guest, 0x9000, 1)[0], 0);
    enter(guest);
    assert.deepEqual([...readGuest(guest, 0x9000, 2), ...readGuest(guest, 0x9008, 1)], [1, 0, 1]);
  });

  it('reach each page that is left exactly once, in order', () => {
    const guest = fakeGuest();
    const arbitraryEntry = fc
      .record({ frame: fc.nat(6), operation: fc.constantFrom(1, 2, 3, 4), is2M: fc.boolean(), done: fc.nat(512) })
      .map(({ frame, operation, is2M, done }) =>
        // 4K pages out of the way of what is left of 2M pages: see the wrong frame above.
        is2M ? entry(frame * 512, operation, true, done) : entry(frame + 0x1_0000, operation, false, done & 1),
      );
    fc.assert(
      fc.property(fc.array(arbitraryEntry, { minLength: 1, maxLength: 12 }), (list) => {
        const outcome = performPsc(guest, pscList(list), 0n, 100);
        assert.equal(outcome.last.ret, 1);
        assert.equal(outcome.result, 0n);
        const wanted = list.flatMap(({ gfn, operation, is2M, curPage }) => {
          const pages = is2M ? 512 : 1;
          if (operation !== PRIVATE && operation !== SHARED) return [];
          return Array.from({ length: pages - curPage }, (_, i) => `${gfn + curPage + i} ${operation}`);
        });
        const made = outcome.ranges.flatMap(({ gpa, pages, attributes }) => {
          const operation = (attributes & 0x10n) !== 0n ? PRIVATE : SHARED;
          return Array.from({ length: Number(pages) }, (_, i) => `${Number(gpa >> 12n) + i} ${operation}`);
        });
        assert.deepEqual(made, wanted);
        assert.deepEqual(
          outcome.curPages,
          list.map(({ is2M }) => (is2M ? 512 : 1)),
        );
        assert.equal(outcome.curEntry, list.length);
      }),
      { numRuns: 300 },
    );
  });
});
