import type { EngineEvent } from '../../engine/timeline/event.js';
import type { LaunchRun } from '../../engine/timeline/run.js';
import { currentDepth, nextEntry, type StopPredicate, stepIn, stepOut, stepOver } from '../../engine/timeline/step.js';

/** What a person may ask for; breakpoints, faults and pause come on top. */
export type Step = 'over' | 'in' | 'out';

/** Runs to the end. */
export const NO_GOAL: StopPredicate = () => false;

/** The first entry, where nothing has run. */
export function entryGoal(run: LaunchRun): StopPredicate {
  return nextEntry(run);
}

/**
 * The engine's steps, with two differences: a line of the log is no place to stay at, and a refused return is one,
 * so that stepping on from a fault walks up through the layers.
 */
export function stepGoal(step: Step, run: LaunchRun): StopPredicate {
  const predicate = PREDICATES[step](run);
  const depth = currentDepth(run);
  return (event) =>
    isRefusal(event) ? step === 'in' || event.depth < depth : event.kind !== 'log' && predicate(event);
}

const PREDICATES = { over: stepOver, in: stepIn, out: stepOut } as const;

function isRefusal(event: EngineEvent): boolean {
  return event.kind === 'leave' && event.fault !== undefined;
}
