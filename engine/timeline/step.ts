import type { EngineEvent } from './event.js';
import { type LaunchOutcome, type LaunchRun, nextEvent } from './run.js';

/**
 * Stepping: a position is right after an event, and a step runs to the first event that its predicate accepts.
 * `enter` (the frame is on the stack and has not run yet), `rmp`, `digest` and `log` are places to stop at;
 * `leave` is none, because the next of the others follows at once.
 */
export type StopPredicate = (event: EngineEvent) => boolean;

export function isStop(event: EngineEvent): boolean {
  return event.kind !== 'leave';
}

/** The next place to stop at, whatever its depth. */
export function stepIn(_run: LaunchRun): StopPredicate {
  return isStop;
}

/** The next place that is no deeper than the present one: what a frame does is passed over. */
export function stepOver(run: LaunchRun): StopPredicate {
  const depth = currentDepth(run);
  return (event) => isStop(event) && event.depth <= depth;
}

/** The next place outside the frame that surrounds the present one. */
export function stepOut(run: LaunchRun): StopPredicate {
  const depth = currentDepth(run);
  return (event) => isStop(event) && event.depth < depth;
}

/** The next entry of the launch. */
export function nextEntry(_run: LaunchRun): StopPredicate {
  return (event) => event.kind === 'enter' && event.frame.layer === 'launch';
}

/** Number of frames around the event at which the run stands. Before the first event nothing is deeper. */
export function currentDepth(run: LaunchRun): number {
  return run.last?.depth ?? Number.POSITIVE_INFINITY;
}

export type RunStop =
  | { readonly reason: 'stop'; readonly event: EngineEvent }
  /** The budget is used up; the next call goes on. */
  | { readonly reason: 'budget' }
  | { readonly reason: 'end'; readonly outcome: LaunchOutcome };

/**
 * Advances by at least one event and at most `budget` events, to the first one that `predicate` accepts. A
 * caller that must stay responsive calls it again and again with the same predicate.
 */
export function runUntil(run: LaunchRun, predicate: StopPredicate, budget = Number.POSITIVE_INFINITY): RunStop {
  for (let i = 0; i < budget; i++) {
    const event = nextEvent(run);
    if (!event) return { reason: 'end', outcome: run.outcome ?? {} };
    if (predicate(event)) return { reason: 'stop', event };
  }
  return { reason: 'budget' };
}
