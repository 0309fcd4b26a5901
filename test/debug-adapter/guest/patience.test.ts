import assert from 'node:assert/strict';
import { createPatience, impatience, waitFrom } from '../../../debug-adapter/guest/patience.js';

describe('word of a guest that runs for long', () => {
  it('comes once for each wait', () => {
    const patience = createPatience();
    assert.equal(impatience(patience, 1e9, 0), undefined, 'nobody waits');
    waitFrom(patience, 1000);
    assert.equal(impatience(patience, 2000, 5), undefined);
    assert.match(impatience(patience, 60_000, 1_234_567) ?? '', /1,234,567 instructions.*F6/);
    assert.equal(impatience(patience, 120_000, 2e6), undefined);
    waitFrom(patience, 130_000);
    assert.ok(impatience(patience, 140_000, 3e6));
  });
});
