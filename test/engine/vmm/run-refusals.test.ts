import assert from 'node:assert/strict';
import type { Fault } from '../../../engine/fault.js';
import { RUN_CASES } from './run-cases.js';

function causes(fault: Fault): string[] {
  const checks: string[] = [];
  for (let cause = fault.cause; cause; cause = cause.cause) checks.push(cause.check);
  return checks;
}

describe('A guest that runs into', () => {
  for (const { name, check, causes: expected, fault: make } of RUN_CASES) {
    it(`${name} is explained`, () => {
      const fault = make();
      assert.equal(fault?.check, check, fault?.message);
      assert.deepEqual(causes(fault), expected);
      assert.ok(fault.message.length > 20 && !/undefined|NaN/.test(fault.message + fault.hint), fault.message);
    });
  }
});
