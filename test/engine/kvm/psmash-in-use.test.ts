import assert from 'node:assert/strict';
import { gpa, type Pfn, pfn } from '../../../engine/address.js';
import { sevGmemInvalidate } from '../../../engine/kvm/mmu/sev-gmem-invalidate.js';
import { rmpMakePrivate } from '../../../engine/kvm/rmp-helpers.js';
import { snpRmptablePsmash } from '../../../engine/kvm/snp-rmptable-psmash.js';
import type { Machine } from '../../../engine/machine.js';
import { effectiveEntry, readEntry, writeEntry } from '../../../engine/rmp/table.js';
import type { Op } from '../../../engine/timeline/event.js';
import { bootedHost, run } from '../../support/kvm-host.js';

/** A 2 MiB page of ASID 1 whose entry is locked, as by another processor. */
function locked(): { readonly machine: Machine; readonly head: Pfn } {
  const machine = bootedHost();
  const head = pfn(Math.ceil(machine.memory.nextFree / 512) * 512);
  run(rmpMakePrivate(machine, head, gpa(0x40_0000), 1, false, true));
  lock(machine, head, true);
  return { machine, head };
}

function lock(machine: Machine, head: Pfn, value: boolean): void {
  writeEntry(machine.rmp, head, { ...readEntry(machine.rmp, head), lock: value });
}

/** Runs an operation; the other processor lets go after the entry was found in use `times` times. */
function contend<T>(
  machine: Machine,
  head: Pfn,
  times: number,
  op: Op<T>,
): { readonly value: T; readonly tries: number } {
  let tries = 0;
  for (;;) {
    const step = op.next();
    if (step.done) return { value: step.value, tries };
    const event = step.value;
    if (event.kind !== 'leave' || event.frame.name !== 'PSMASH') continue;
    tries++;
    if (event.fault?.check === 'hw-psmash-in-use' && tries === times) lock(machine, head, false);
  }
}

describe('PSMASH of an entry in use', () => {
  it('is repeated until it works', () => {
    const { machine, head } = locked();
    const { value, tries } = contend(machine, head, 3, snpRmptablePsmash(machine, pfn(head + 7)));
    assert.deepEqual([value, tries], [0, 4]);
    assert.equal(readEntry(machine.rmp, head).pageSize2M, false);
  });

  it('does not keep gmem_invalidate from giving a part of the page back', () => {
    const { machine, head } = locked();
    const { value, tries } = contend(machine, head, 2, sevGmemInvalidate(machine, pfn(head + 4), pfn(head + 5)));
    assert.deepEqual([value, tries], [[], 3]);
    assert.equal(effectiveEntry(machine.rmp, pfn(head + 4)).assigned, false);
    assert.equal(effectiveEntry(machine.rmp, pfn(head + 5)).assigned, true);
  });

  it('ends after a thousand times, where Linux goes on', () => {
    const { machine, head } = locked();
    const { value, tries } = contend(machine, head, Number.POSITIVE_INFINITY, snpRmptablePsmash(machine, head));
    assert.deepEqual([value, tries], [3, 1000]);
  });

  it('is not repeated for another failure', () => {
    const { machine, head } = locked();
    const { value, tries } = contend(machine, head, 0, snpRmptablePsmash(machine, pfn(head + 512)));
    assert.deepEqual([value, tries], [1, 1]);
  });
});
