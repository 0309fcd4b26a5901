import assert from 'node:assert/strict';
import { gpa } from '../../../engine/address.js';
import { HYPERVISOR_ENTRY, type RmpEntry } from '../../../engine/rmp/entry.js';
import { type PageState, pageState } from '../../../engine/rmp/page-state.js';

describe('page state', () => {
  // AMDESE/sev-tool src/rmp.h, state table.
  const table: [PageState, Partial<RmpEntry>][] = [
    ['Hypervisor', {}],
    ['HV-Fixed', { immutable: true }],
    ['Firmware', { assigned: true, immutable: true }],
    ['Firmware', { assigned: true, immutable: true, lock: true }],
    ['Reclaim', { assigned: true }],
    ['Context', { assigned: true, immutable: true, vmsa: true }],
    ['Metadata', { assigned: true, immutable: true, gpa: gpa(0x1000) }],
    ['Pre-Guest', { assigned: true, immutable: true, asid: 1 }],
    ['Pre-Guest', { assigned: true, immutable: true, asid: 1, gpa: gpa(0x1000) }],
    ['Pre-Swap', { assigned: true, immutable: true, asid: 1, validated: true }],
    ['Guest-Invalid', { assigned: true, asid: 7, gpa: gpa(0x1000) }],
    ['Guest-Valid', { assigned: true, asid: 7, validated: true }],
    ['Guest-Valid', { assigned: true, asid: 7, validated: true, vmsa: true }],
  ];
  for (const [state, fields] of table) {
    it(`${JSON.stringify(fields)} is ${state}`, () => {
      assert.equal(pageState({ ...HYPERVISOR_ENTRY, ...fields }), state);
      assert.equal(pageState({ ...HYPERVISOR_ENTRY, ...fields }, false), 'Default');
    });
  }

  it('gives every combination of the fields exactly one state', () => {
    const seen = new Set<PageState>();
    for (let n = 0; n < 64; n++) {
      const on = (bit: number): boolean => ((n >> bit) & 1) !== 0;
      const entry: RmpEntry = {
        ...HYPERVISOR_ENTRY,
        assigned: on(0),
        immutable: on(1),
        asid: on(2) ? 3 : 0,
        validated: on(3),
        vmsa: on(4),
        gpa: gpa(on(5) ? 0x1000 : 0),
      };
      seen.add(pageState(entry));
    }
    assert.equal(seen.size, new Set(table.map(([state]) => state)).size);
  });
});
