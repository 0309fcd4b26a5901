import assert from 'node:assert/strict';
import { PAGES_PER_2M, pfn, spa } from '../../../engine/address.js';
import { HYPERVISOR_ENTRY } from '../../../engine/rmp/entry.js';
import { createRmp, fillEntries, readEntry, writeEntry } from '../../../engine/rmp/table.js';

const LOCKED = { ...HYPERVISOR_ENTRY, assigned: true, immutable: true, lock: true };

describe('the RMP table', () => {
  it('keeps equal regions once, and tells them apart when one is written', () => {
    const rmp = createRmp(spa(0), 8 * PAGES_PER_2M);
    fillEntries(rmp, pfn(100), 3 * PAGES_PER_2M, LOCKED);
    assert.equal(new Set(rmp.chunks.values()).size, 3);
    for (const frame of [100, 512, 1024, 1535, 1635]) {
      assert.equal(readEntry(rmp, pfn(frame)).lock, true, String(frame));
    }
    assert.equal(readEntry(rmp, pfn(99)).assigned, false);
    assert.equal(readEntry(rmp, pfn(1636)).assigned, false);
    assert.equal(readEntry(rmp, pfn(0)).subPageCount, 412);
    assert.equal(readEntry(rmp, pfn(1536)).subPageCount, 100);

    writeEntry(rmp, pfn(513), HYPERVISOR_ENTRY);
    assert.equal(readEntry(rmp, pfn(513)).assigned, false);
    assert.equal(readEntry(rmp, pfn(1025)).assigned, true);
    assert.equal(readEntry(rmp, pfn(512)).subPageCount, 511);
    assert.equal(readEntry(rmp, pfn(1024)).subPageCount, 0);

    fillEntries(rmp, pfn(1024), 1, HYPERVISOR_ENTRY);
    assert.equal(readEntry(rmp, pfn(1024)).assigned, false);
    assert.equal(readEntry(rmp, pfn(1025)).assigned, true);
  });

  it('costs little for a host of 16 TiB', () => {
    const rmp = createRmp(spa(0x400_0000), 2 ** 32);
    fillEntries(rmp, pfn(0x4000), 2 ** 24, LOCKED);
    assert.equal(rmp.chunks.size, 2 ** 15);
    assert.equal(new Set(rmp.chunks.values()).size, 1);
  });
});
