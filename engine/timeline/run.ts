import type { Fault } from '../fault.js';
import type { LaunchPlan } from '../launch/plan.js';
import type { Machine } from '../machine.js';
import type { EngineEvent, Op } from './event.js';

export interface LaunchOutcome {
  /** 48 bytes; only a complete launch has one. */
  readonly digest?: Uint8Array;
  readonly fault?: Fault;
  /** How the guest ended, if it was run. */
  readonly exit?: GuestExit;
}

/** How a run of the guest ends. Where it is no orderly end `fault` says why, in one readable paragraph. */
export type GuestExit =
  /** GHCB termination request. */
  | {
      readonly reason: 'termination';
      readonly set: number;
      readonly code: number;
      /** In words. */
      readonly meaning: string;
      readonly fault?: Fault;
    }
  /** Triple fault. */
  | { readonly reason: 'shutdown'; readonly fault?: Fault }
  /** The guest switched the machine off, or reset it, by a device. */
  | { readonly reason: 'power-off' | 'reset' }
  /** Every vCPU waits, and nothing can wake one. */
  | { readonly reason: 'halted'; readonly fault?: Fault }
  /** VMM, KVM or the emulated processor could not go on. */
  | { readonly reason: 'fault'; readonly fault: Fault }
  /** The limit of instructions was reached. */
  | { readonly reason: 'limit'; readonly instructions: number };

/** A launch being executed. `position` counts the events consumed; the machine stands right after `last`. */
export interface LaunchRun {
  readonly plan: LaunchPlan;
  readonly machine: Machine;
  readonly events: Op<LaunchOutcome>;
  position: number;
  /** The event at which the run stands; undefined before the first. */
  last?: EngineEvent;
  outcome?: LaunchOutcome;
}

export function startRun(plan: LaunchPlan, machine: Machine, events: Op<LaunchOutcome>): LaunchRun {
  return { plan, machine, events, position: 0 };
}

/** The next event, or undefined when the launch has ended; then `outcome` is set. */
export function nextEvent(run: LaunchRun): EngineEvent | undefined {
  if (run.outcome) return undefined;
  const step = run.events.next();
  if (step.done) {
    run.outcome = step.value;
    return undefined;
  }
  if (step.value.kind !== 'control') run.position++;
  run.last = step.value;
  return step.value;
}

/** Runs to the end. */
export function finishRun(run: LaunchRun): LaunchOutcome {
  let outcome = run.outcome;
  while (!outcome) {
    nextEvent(run);
    outcome = run.outcome;
  }
  return outcome;
}
