import type { Output } from './narration.js';

export type StopReason =
  | 'entry'
  | 'step'
  | 'breakpoint'
  | 'function breakpoint'
  | 'instruction breakpoint'
  | 'pause'
  | 'exception';

/** A stop as the client hears of it. */
export interface Stop {
  readonly reason: StopReason;
  /** vCPU; 0 before the guest runs. */
  readonly vcpu: number;
  /** Of an exception. */
  readonly text?: string;
  readonly breakpoints?: readonly number[];
}

/** What the session tells its client, before it is put into messages. */
export interface SessionListener {
  stopped(stop: Stop): void;
  readonly output: Output;
  breakpointsChanged(): void;
  /** The guest starts: there are so many threads from now on. */
  threadsStarted(count: number): void;
  ended(exitCode: number): void;
}
