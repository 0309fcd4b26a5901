import assert from 'node:assert/strict';
import { createSteering, noteSlice, runTo, steer, stepSingly } from '../../../debug-adapter/guest/steering.js';
import type { GuestControl } from '../../../engine/machine.js';
import type { EngineEvent } from '../../../engine/timeline/event.js';

const SLICE: EngineEvent = { kind: 'control', reason: 'slice', depth: 1, vcpu: 0, rip: 0n, instructions: 1 };
const control = (): GuestControl => ({ slice: 7, breakpoints: new Set(), limit: Number.POSITIVE_INFINITY });

describe('steering of a guest', () => {
  it('finds slices of a few milliseconds, whatever the speed of the guest', () => {
    for (const perMillisecond of [500, 20_000, 150_000]) {
      const steering = createSteering();
      const guest = control();
      let now = 0;
      for (let n = 0; n < 40; n++) {
        steer(steering, guest, 0, now);
        now += guest.slice / perMillisecond;
        noteSlice(steering, SLICE, now, guest);
      }
      const took = steering.slice / perMillisecond;
      assert.ok(took >= 1 && took <= 7, `${took} ms at ${perMillisecond} instructions a millisecond`);
    }
  });

  it('learns nothing from slices of one instruction', () => {
    const steering = createSteering();
    const guest = control();
    const { slice } = steering;
    stepSingly(steering, 0);
    steer(steering, guest, 0, 0);
    assert.equal(guest.slice, 1);
    noteSlice(steering, SLICE, 0.01, guest);
    assert.equal(steering.slice, slice);
  });

  it('steps one vCPU while the others run', () => {
    const steering = createSteering();
    const guest = control();
    stepSingly(steering, 1);
    steer(steering, guest, 0, 0);
    assert.equal(guest.slice, steering.slice);
    steer(steering, guest, 1, 0);
    assert.equal(guest.slice, 1);
  });

  it('keeps the breakpoints of the user beside its own, and the set while nothing changes', () => {
    const steering = createSteering();
    const guest = control();
    steering.user = new Set([1n, 2n]);
    runTo(steering, [3n]);
    steer(steering, guest, 0, 0);
    assert.deepEqual([...guest.breakpoints], [1n, 2n, 3n]);
    const { breakpoints } = guest;
    steering.user = new Set([1n, 2n]);
    steer(steering, guest, 0, 0);
    assert.equal(guest.breakpoints, breakpoints, 'a new set would make the processor look at its code again');
    stepSingly(steering, 0);
    steer(steering, guest, 0, 0);
    assert.deepEqual([...guest.breakpoints], [1n, 2n]);
  });
});
