import assert from 'node:assert/strict';
import fc from 'fast-check';
import { PAGE_TYPE } from '../../../engine/spec/page-type.js';
import type { EngineEvent } from '../../../engine/timeline/event.js';
import { type LaunchRun, nextEvent } from '../../../engine/timeline/run.js';
import {
  isStop,
  nextEntry,
  runUntil,
  type StopPredicate,
  stepIn,
  stepOut,
  stepOver,
} from '../../../engine/timeline/step.js';
import { launch } from '../../../engine/vmm/launch.js';
import { filled, testPlan } from '../../support/plans.js';

const plan = testPlan({
  vcpus: 2,
  updates: [
    { type: PAGE_TYPE.NORMAL, gpa: 0x1000, bytes: filled(0x2000, 1) },
    { type: PAGE_TYPE.ZERO, gpa: 0x8000, length: 0x3000 },
  ],
});

function nameOf(event: EngineEvent | undefined): string {
  if (!event) return 'end';
  return event.kind === 'enter' || event.kind === 'leave' ? event.frame.name : event.kind;
}

function step(run: LaunchRun, predicate: StopPredicate): string {
  const stop = runUntil(run, predicate);
  return stop.reason === 'stop' ? nameOf(stop.event) : stop.reason;
}

/** Steps in until a frame of this name is about to run. */
function enter(run: LaunchRun, name: string): void {
  const found = runUntil(run, (event) => event.kind === 'enter' && event.frame.name === name);
  assert.equal(found.reason, 'stop');
}

describe('stepping', () => {
  it('over the whole launch stops at each entry', () => {
    const run = launch(plan);
    const stops: string[] = [];
    for (let at = step(run, stepIn(run)); at !== 'end'; at = step(run, stepOver(run))) stops.push(at);
    assert.deepEqual(
      stops,
      plan.entries.map((entry) => entry.label),
    );
  });

  it('to the next entry does the same from any depth', () => {
    const run = launch(plan);
    enter(run, 'KVM_SEV_SNP_LAUNCH_START');
    assert.equal(step(run, nextEntry(run)), 'memory');
    assert.equal(step(run, nextEntry(run)), 'update 1');
  });

  it('in goes from entry to VMM, ioctl, page, RMPUPDATE, firmware command', () => {
    const run = launch(plan);
    enter(run, 'update 1');
    const stops = Array.from({ length: 11 }, () => step(run, stepIn(run)));
    assert.deepEqual(stops, [
      'sev_snp_launch_update',
      'KVM_SET_MEMORY_ATTRIBUTES',
      'KVM_SEV_SNP_LAUNCH_UPDATE',
      'sev_gmem_post_populate',
      'RMPUPDATE',
      'rmp',
      'SNP_LAUNCH_UPDATE',
      'digest',
      'rmp',
      'sev_gmem_post_populate',
      'RMPUPDATE',
    ]);
  });

  it('over a page stays in the ioctl; out of it goes on after the ioctl', () => {
    const run = launch(plan);
    enter(run, 'update 1');
    enter(run, 'sev_gmem_post_populate');
    assert.equal(step(run, stepOver(run)), 'sev_gmem_post_populate');
    assert.equal(step(run, stepOver(run)), 'update 2');
    enter(run, 'RMPUPDATE');
    assert.equal(step(run, stepOut(run)), 'sev_gmem_post_populate');
    assert.equal(step(run, stepOut(run)), 'finish');
    assert.equal(step(run, stepOut(run)), 'end');
    assert.equal(step(run, stepIn(run)), 'end');
  });

  it('never stops where a frame ends', () => {
    const run = launch(plan);
    for (let stop = runUntil(run, stepIn(run)); stop.reason === 'stop'; stop = runUntil(run, stepIn(run))) {
      assert.ok(isStop(stop.event) && stop.event.kind !== 'leave');
      assert.equal(run.last, stop.event);
    }
  });

  it('reaches the same positions in slices of any length', () => {
    const whole = positions(Number.POSITIVE_INFINITY);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), (budget) => {
        assert.deepEqual(positions(budget), whole);
      }),
      { numRuns: 15 },
    );
  });

  it('ends with the outcome', () => {
    const stop = runUntil(launch(plan), () => false);
    assert.ok(stop.reason === 'end' && stop.outcome.digest);
  });

  it('counts events', () => {
    const run = launch(plan);
    nextEvent(run);
    assert.equal(runUntil(run, () => false, 10).reason, 'budget');
    assert.equal(run.position, 11);
  });
});

/** Positions of a mixed sequence of steps, each run in slices of `budget` events. */
function positions(budget: number): number[] {
  const run = launch(plan);
  const kinds = [stepIn, stepIn, stepIn, stepOver, stepIn, stepIn, stepOut, stepOver];
  const found: number[] = [];
  for (let i = 0; !run.outcome; i++) {
    const predicate = (kinds[i % kinds.length] ?? stepIn)(run);
    let stop = runUntil(run, predicate, budget);
    while (stop.reason === 'budget') stop = runUntil(run, predicate, budget);
    found.push(run.position);
  }
  return found;
}
