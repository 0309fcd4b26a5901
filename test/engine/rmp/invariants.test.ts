import assert from 'node:assert/strict';
import fc from 'fast-check';
import { gpa, PAGE_SIZE_2M, PAGES_PER_2M, pfn, spaOf } from '../../../engine/address.js';
import { snpPageReclaim } from '../../../engine/asp/commands/snp-page-reclaim.js';
import { pageState } from '../../../engine/rmp/page-state.js';
import { psmash } from '../../../engine/rmp/psmash.js';
import { rmpUpdate } from '../../../engine/rmp/rmpupdate.js';
import { effectiveEntry, headOf, readEntry, writeEntry } from '../../../engine/rmp/table.js';
import { createInitialisedMachine, run } from '../../support/bare-machine.js';

/** Two regions, away from the table. */
const FIRST = 4 * PAGES_PER_2M;
/** The firmware's LAUNCH_UPDATE or a guest's PVALIDATE, reduced to what they do to the entry. */
type Step =
  | {
      readonly op: 'update';
      readonly page: number;
      readonly size2M: boolean;
      readonly assigned: boolean;
      readonly immutable: boolean;
      readonly asid: number;
      readonly gfn: number;
    }
  | { readonly op: 'psmash' | 'validate'; readonly page: number }
  | { readonly op: 'reclaim'; readonly page: number; readonly size2M: boolean };

// Few distinct pages, so that operations meet.
const page = fc.integer({ min: 0, max: 7 }).map((n) => (n < 4 ? n : PAGES_PER_2M + n - 4));
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    op: fc.constant('update' as const),
    page,
    size2M: fc.boolean(),
    assigned: fc.boolean(),
    immutable: fc.boolean(),
    asid: fc.integer({ min: 0, max: 2 }),
    gfn: fc.integer({ min: 0, max: 3 }),
  }),
  fc.record({ op: fc.constantFrom('psmash' as const, 'validate' as const), page }),
  fc.record({ op: fc.constant('reclaim' as const), page, size2M: fc.boolean() }),
);

describe('RMP invariants', () => {
  it('hold after any sequence of operations', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const machine = createInitialisedMachine();
        const { rmp } = machine;
        for (const s of steps) {
          const frame = pfn(FIRST + s.page);
          switch (s.op) {
            case 'update':
              run(
                rmpUpdate(machine, s.size2M ? headOf(frame) : frame, {
                  assigned: s.assigned,
                  pageSize2M: s.size2M,
                  immutable: s.immutable,
                  gpa: gpa(s.size2M ? s.gfn * PAGE_SIZE_2M : s.gfn * 4096),
                  asid: s.asid,
                }),
              );
              break;
            case 'psmash':
              run(psmash(machine, headOf(frame)));
              break;
            case 'reclaim':
              run(snpPageReclaim(machine, { page: spaOf(s.size2M ? headOf(frame) : frame), pageSize2M: s.size2M }));
              break;
            case 'validate': {
              const entry = readEntry(rmp, frame);
              if (pageState(entry) === 'Guest-Invalid') writeEntry(rmp, frame, { ...entry, validated: true });
              break;
            }
          }
        }
        for (const region of [FIRST, FIRST + PAGES_PER_2M]) {
          const head = readEntry(rmp, pfn(region));
          let assigned4K = 0;
          for (let i = 0; i < PAGES_PER_2M; i++) {
            const own = readEntry(rmp, pfn(region + i));
            const entry = effectiveEntry(rmp, pfn(region + i));
            if (own.assigned && !own.pageSize2M) assigned4K++;
            assert.ok(!entry.validated || entry.assigned, 'validated pages are assigned');
            assert.ok(entry.assigned || entry.asid === 0, 'unassigned pages have no ASID');
            assert.ok(i === 0 || !own.pageSize2M, 'only heads are 2M');
            assert.ok(i === 0 || own.subPageCount === 0, 'only heads count');
            assert.ok(!head.pageSize2M || i === 0 || !own.assigned, 'no 4K page inside a 2M page');
            pageState(entry);
          }
          assert.equal(head.subPageCount, assigned4K & 0x1ff, 'sub-page count');
        }
      }),
      { numRuns: 60 },
    );
  });
});
