import assert from 'node:assert/strict';
import { CLAIMED } from './generate.js';
import { compileNative } from './native.js';
import { oracleOptions } from './random.js';
import { compareWithNative } from './user-mode.js';

const { seed, cases } = oracleOptions(3000);

describe('guest CPU against the processor of this machine', function () {
  this.timeout(0);

  it(`leaves the same state after ${cases} random sequences (seed ${seed})`, function () {
    if (compileNative() === undefined) {
      assert.ok(!process.env['CI'], 'the native oracle needs gcc on an x86-64 Linux');
      this.skip();
    }
    const { wrong, executed } = compareWithNative(seed, cases);
    assert.deepEqual(wrong, []);
    const never = CLAIMED.filter((row) => !executed.has(row.id)).map((row) => row.text);
    // Few cases do not reach every row; a full run must.
    if (cases >= 10_000) assert.deepEqual(never, [], 'rows that no case executed');
    else assert.ok(never.length < CLAIMED.length / 10, `rows that no case executed: ${never.join('; ')}`);
  });
});
