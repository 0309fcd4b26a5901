import assert from 'node:assert/strict';
import fc from 'fast-check';
import { beginStretch, createTrack, trackEvent } from '../../../debug-adapter/run/track.js';
import { rmpRanges } from '../../../debug-adapter/views/rmp-ranges.js';
import { createRmpRunsCache } from '../../../debug-adapter/views/rmp-runs-cache.js';
import { gpa, pfn } from '../../../engine/address.js';
import type { LaunchPlan } from '../../../engine/launch/plan.js';
import { HYPERVISOR_ENTRY } from '../../../engine/rmp/entry.js';
import { writeEntry } from '../../../engine/rmp/table.js';
import { createBareMachine } from '../../support/bare-machine.js';

/** Pages that a step changes; few, so that changes meet. */
const PAGES = [0, 1, 2, 511, 512, 513, 1023, 1500];

type Action =
  | { readonly kind: 'change'; readonly page: number; readonly validated: boolean; readonly told: boolean }
  | { readonly kind: 'stop' }
  | { readonly kind: 'look' };

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({
    kind: fc.constant('change' as const),
    page: fc.constantFrom(...PAGES),
    validated: fc.boolean(),
    told: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('stop' as const) }),
  fc.record({ kind: fc.constant('look' as const) }),
);

describe('ranges of the RMP', () => {
  it('are those of the table as it is, whatever was remembered of it', () => {
    const plan = { entries: [], updates: [] } as unknown as LaunchPlan;
    const place = { path: '', line: 0, character: 0, endLine: 0, endCharacter: 0 };
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const machine = createBareMachine();
        const track = createTrack();
        const look = () => rmpRanges(machine, track, { of: () => place }, 0);
        for (const each of [...actions, { kind: 'look' } as const]) {
          if (each.kind === 'stop') beginStretch(track, machine);
          if (each.kind === 'look') {
            const shown = look();
            assert.deepEqual(
              shown,
              rmpRanges(machine, { ...track, runs: createRmpRunsCache() }, { of: () => place }, 0),
            );
          }
          if (each.kind !== 'change') continue;
          const entry = { ...HYPERVISOR_ENTRY, assigned: true, asid: 1, gpa: gpa(each.page * 4096) };
          const change = writeEntry(machine.rmp, pfn(each.page), { ...entry, validated: each.validated });
          // Not all changes are told: SNP_INIT fills the table without.
          if (each.told) trackEvent(track, { kind: 'rmp', depth: 0, cause: '', change }, machine, plan);
        }
      }),
    );
  });
});
