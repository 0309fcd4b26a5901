import type { GuestControl } from '../../engine/machine.js';
import type { EngineEvent } from '../../engine/timeline/event.js';

/**
 * Where a running guest gives control back: at breakpoints of the user and of the step under way, after one
 * instruction while a vCPU is stepped, and otherwise so often that a pause is served at once.
 */
export interface Steering {
  /** vCPU that stops after each instruction. */
  single?: number;
  /** RIPs at which the step under way wants to look. */
  temporary: ReadonlySet<bigint>;
  /** RIPs of the user's breakpoints. */
  user: ReadonlySet<bigint>;
  /** Instructions between two looks at the clock; follows the speed of the guest. */
  slice: number;
  /** When the guest last got control; milliseconds. */
  began: number;
}

const NONE: ReadonlySet<bigint> = new Set();
const FIRST_SLICE = 20_000;
const LEAST_SLICE = 1_000;
/** A few milliseconds of the fastest code: more would take too long when slow code follows. */
const MOST_SLICE = 500_000;
/** Milliseconds that a slice should take. */
const SHORT = 3;
const LONG = 6;

export function createSteering(): Steering {
  return { temporary: NONE, user: NONE, slice: FIRST_SLICE, began: 0 };
}

/** Without a step: the guest runs freely, up to the user's breakpoints. */
export function runFreely(steering: Steering): void {
  steering.single = undefined;
  steering.temporary = NONE;
}

export function stepSingly(steering: Steering, vcpu: number): void {
  steering.single = vcpu;
  steering.temporary = NONE;
}

export function runTo(steering: Steering, rips: readonly bigint[]): void {
  steering.single = undefined;
  steering.temporary = new Set(rips);
}

/** After an event: a whole slice that took too long is shortened, one that was over at once gets longer. */
export function noteSlice(steering: Steering, event: EngineEvent, now: number, control: GuestControl): void {
  if (event.kind !== 'control' || event.reason !== 'slice' || control.slice !== steering.slice) return;
  const took = now - steering.began;
  if (took > LONG) steering.slice = Math.max(LEAST_SLICE, Math.floor((steering.slice * SHORT) / took));
  else if (took < SHORT) steering.slice = Math.min(MOST_SLICE, steering.slice * 2);
}

/** Before the guest goes on. `vcpu` is the one that runs next, as far as is known. */
export function steer(steering: Steering, control: GuestControl, vcpu: number, now: number): void {
  const slice = steering.single === vcpu ? 1 : steering.slice;
  if (control.slice !== slice) control.slice = slice;
  const { user, temporary } = steering;
  const wanted = temporary.size === 0 ? user : user.size === 0 ? temporary : new Set([...user, ...temporary]);
  if (!sameSet(control.breakpoints, wanted)) control.breakpoints = wanted;
  steering.began = now;
}

function sameSet(a: ReadonlySet<bigint>, b: ReadonlySet<bigint>): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const value of a) if (!b.has(value)) return false;
  return true;
}
