import assert from 'node:assert/strict';
import fc from 'fast-check';
import { PAGES_PER_2M, type Pfn, pfn } from '../../../engine/address.js';
import { addRange, removeRange } from '../../../engine/kvm/ioctl/kvm-set-memory-attributes.js';
import { destroyVm } from '../../../engine/kvm/sev-vm-destroy.js';
import { snpSafeAllocPage } from '../../../engine/kvm/snp-safe-alloc-page.js';
import type { GfnRange } from '../../../engine/kvm/state.js';
import type { Machine } from '../../../engine/machine.js';
import { pageState } from '../../../engine/rmp/page-state.js';
import { readEntry } from '../../../engine/rmp/table.js';
import { bootedHost, launchFinish, launchUpdate, preparedVm, run, startedVm } from '../../support/kvm-host.js';

/** Frames outside of the RMP itself that are not hypervisor-owned. */
function ownedFrames(machine: Machine): Pfn[] {
  const { rmp } = machine;
  const frames: Pfn[] = [];
  for (const index of rmp.chunks.keys()) {
    for (let i = 0; i < PAGES_PER_2M; i++) {
      const frame = pfn(index * PAGES_PER_2M + i);
      const inTable = frame * 4096 >= rmp.base && frame * 4096 <= rmp.end;
      const state = pageState(readEntry(rmp, frame));
      if (!inTable && state !== 'Hypervisor' && state !== 'HV-Fixed') frames.push(frame);
    }
  }
  return frames;
}

describe('Teardown', () => {
  it('leaves nothing assigned', () => {
    const machine = bootedHost();
    const vm = startedVm(machine, 3);
    launchUpdate(machine, vm, { len: 0x4000n });
    launchFinish(machine, vm);
    // Pages, VMSAs, the context, and the page for responses to guest requests.
    assert.equal(ownedFrames(machine).length, 4 + 3 + 1 + 1);
    const teardown = run(destroyVm(machine));
    assert.deepEqual(teardown, { leaked: [], faults: [] });
    assert.deepEqual(ownedFrames(machine), []);
    assert.deepEqual([...machine.kvm.asidsToReclaim], [vm.asid]);
    assert.equal(machine.kvm.vms.size, 0);
    assert.equal(machine.asp.guests.size, 0);
  });

  it('does so after each step of a launch', () => {
    for (const prepare of [preparedVm, startedVm]) {
      const machine = bootedHost();
      prepare(machine);
      assert.deepEqual(run(destroyVm(machine)), { leaked: [], faults: [] });
      assert.deepEqual(ownedFrames(machine), []);
    }
  });

  it('lets the next VM launch with the recycled ASID', () => {
    const machine = bootedHost({ processor: 'milan' });
    for (let round = 0; round < 120; round++) {
      const vm = startedVm(machine);
      assert.equal(launchUpdate(machine, vm).ret, 0);
      assert.equal(launchFinish(machine, vm).ret, 0);
      assert.deepEqual(run(destroyVm(machine)).faults, []);
    }
  });

  it('reports pages that the firmware keeps', () => {
    const machine = bootedHost();
    const vm = startedVm(machine);
    launchUpdate(machine, vm);
    machine.asp.platform = 'UNINIT';
    launchUpdate(machine, vm, { gfnStart: 2n });
    machine.asp.platform = 'INIT';
    assert.equal(machine.kvm.leaked.length, 1);
    run(destroyVm(machine));
    assert.deepEqual(ownedFrames(machine), machine.kvm.leaked);
  });
});

describe('snp_safe_alloc_page', () => {
  it('never gives the first page of a 2 MiB region', () => {
    const machine = bootedHost();
    for (let i = 0; i < 1200; i++) {
      const page = snpSafeAllocPage(machine, 'test');
      assert.ok(page !== undefined && page % PAGES_PER_2M !== 0, `page ${page}`);
    }
  });
});

describe('memory attributes', () => {
  it('behave like a set of frames', () => {
    const step = fc.record({ add: fc.boolean(), start: fc.nat(40), length: fc.integer({ min: 1, max: 12 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let ranges: readonly GfnRange[] = [];
        const model = new Set<number>();
        for (const { add, start, length } of steps) {
          const range = { start, end: start + length } as GfnRange;
          ranges = add ? addRange(ranges, range) : removeRange(ranges, range);
          for (let frame = start; frame < start + length; frame++) add ? model.add(frame) : model.delete(frame);
        }
        const frames = ranges.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i));
        assert.deepEqual(
          frames,
          [...model].sort((a, b) => a - b),
        );
        ranges.forEach((range, i) => {
          const next = ranges[i + 1];
          assert.ok(range.start < range.end && (!next || range.end < next.start));
        });
      }),
    );
  });
});
