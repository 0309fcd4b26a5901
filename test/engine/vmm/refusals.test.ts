import assert from 'node:assert/strict';
import { nextEvent } from '../../../engine/timeline/run.js';
import { launch } from '../../../engine/vmm/launch.js';
import { PLAN_CASES, VMM_CASES, type VmmCase } from './cases.js';

function test({ name, check, plan, at, log }: VmmCase): void {
  it(name, () => {
    const run = launch(plan);
    const lines: string[] = [];
    for (let event = nextEvent(run); event; event = nextEvent(run)) {
      if (event.kind === 'log' && event.source === 'vmm') lines.push(event.text);
    }
    const { fault, digest } = run.outcome ?? {};
    assert.equal(fault?.check, check, fault?.message);
    assert.equal(digest, undefined);
    assert.deepEqual(fault.at, at);
    assert.equal(lines[0] ?? '', log);
    assert.ok(!fault.message.includes('undefined') && !fault.hint.includes('undefined'));
  });
}

describe('The VMM refuses', () => {
  for (const testCase of VMM_CASES) test(testCase);
});

describe('A plan makes KVM refuse', () => {
  for (const testCase of PLAN_CASES) test(testCase);
});
