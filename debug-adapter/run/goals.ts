import type { EngineEvent } from '../../engine/timeline/event.js';
import type { LaunchRun } from '../../engine/timeline/run.js';
import { currentDepth, nextEntry, type StopPredicate, stepIn, stepOut, stepOver } from '../../engine/timeline/step.js';
import { guestStepIn, guestStepOut, guestStepOver, untilEntered } from '../guest/goals.js';
import { standing } from '../guest/look.js';
import { runFreely } from '../guest/steering.js';
import { type GuestTrack, isInGuest } from '../guest/track.js';

/** What a person may ask for; breakpoints, faults and pause come on top. */
export type Step = 'over' | 'in' | 'out';

/** Runs to the end. */
export const NO_GOAL: StopPredicate = () => false;

/** The first entry, where nothing has run. */
export function entryGoal(run: LaunchRun): StopPredicate {
  return nextEntry(run);
}

/** A step of one vCPU's thread: by instruction in the guest, by operation in the functions that run it. */
export function threadGoal(step: Step, run: LaunchRun, guest: GuestTrack, vcpu: number): StopPredicate {
  const { machine, last } = run;
  const { steering } = guest;
  if (guest.started && (vcpu !== guest.vcpu || isInGuest(machine, last))) {
    return GUEST_STEPS[step]({ vcpu, steering, look: (rip) => standing(machine, vcpu, rip) });
  }
  runFreely(steering);
  return last?.kind === 'exit' && step === 'over' ? untilEntered(vcpu) : stepGoal(step, run);
}

const GUEST_STEPS = { over: guestStepOver, in: guestStepIn, out: guestStepOut } as const;

/**
 * The engine's steps, with two differences: only what the host does is a place to stay at, and a refused return is
 * one, so that stepping on from a fault walks up through the layers.
 */
export function stepGoal(step: Step, run: LaunchRun): StopPredicate {
  const predicate = PREDICATES[step](run);
  const depth = currentDepth(run);
  return (event) =>
    isRefusal(event) ? step === 'in' || event.depth < depth : isHostOperation(event) && predicate(event);
}

const PREDICATES = { over: stepOver, in: stepIn, out: stepOut } as const;

function isRefusal(event: EngineEvent): boolean {
  return event.kind === 'leave' && event.fault !== undefined;
}

function isHostOperation({ kind }: EngineEvent): boolean {
  return kind === 'enter' || kind === 'rmp' || kind === 'digest';
}
