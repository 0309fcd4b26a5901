import type { Crypto } from '../crypto.js';
import type { LaunchPlan } from '../launch/plan.js';
import type { Machine } from '../machine.js';
import { type LaunchOutcome, type LaunchRun, startRun } from '../timeline/run.js';
import { runUntil } from '../timeline/step.js';
import { createMachine } from './create-machine.js';
import { launchFlow } from './launch-flow.js';

export interface LaunchOptions {
  /** Default: the portable implementation. */
  readonly crypto?: Crypto;
  /** Source of keys, nonces and ids; the same seed gives the same events. */
  readonly seed?: string;
  /** The guest runs after LAUNCH_FINISH. Default: the launch ends there. */
  readonly run?: boolean;
}

/** A launch on a new machine, before its first event. Advance it with `nextEvent` or `runUntil`. */
export function launch(plan: LaunchPlan, options: LaunchOptions = {}): LaunchRun {
  const machine = createMachine(plan, options);
  return startRun(plan, machine, launchFlow(plan, machine, options.run));
}

export interface DryRun extends LaunchOutcome {
  readonly machine: Machine;
  /** False: `maxEvents` were used up before the launch ended; there is neither digest nor fault then. */
  readonly complete: boolean;
}

/** The whole launch at once, without events of frames. A fault carries the place in the manifest that caused it. */
export function dryRun(plan: LaunchPlan, options: LaunchOptions & { readonly maxEvents?: number } = {}): DryRun {
  const run = launch(plan, options);
  const { machine } = run;
  machine.stack.quiet = true;
  const stop = runUntil(run, () => false, options.maxEvents);
  return stop.reason === 'end' ? { ...stop.outcome, machine, complete: true } : { machine, complete: false };
}
