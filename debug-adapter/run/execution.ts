import type { EngineEvent } from '../../engine/timeline/event.js';
import { type LaunchOutcome, type LaunchRun, nextEvent } from '../../engine/timeline/run.js';

/** What the session wants to do after an event. */
export type Decision = 'go' | 'stop';

export interface ExecutionHooks {
  /** Called for every event, the machine standing right after it. */
  readonly onEvent: (event: EngineEvent) => Decision;
  /** Called once, when the generator has returned. */
  readonly onEnd: (outcome: LaunchOutcome) => void;
  /** An exception of ours: the run cannot go on. */
  readonly onCrash: (error: unknown) => void;
}

/** Longest stretch without looking at requests, and how often the clock is read. */
const SLICE_MS = 8;
const EVENTS_PER_LOOK = 8;

/** Advances a run in slices, so that pause, breakpoints and disconnect are served in between. */
export class Execution {
  private handle: NodeJS.Immediate | undefined;

  constructor(
    readonly run: LaunchRun,
    private readonly hooks: ExecutionHooks,
  ) {}

  get running(): boolean {
    return this.handle !== undefined;
  }

  /** Starts after the current request has been answered. */
  resume(): void {
    this.handle ??= setImmediate(() => this.slice());
  }

  cancel(): void {
    if (this.handle) clearImmediate(this.handle);
    this.handle = undefined;
  }

  private slice(): void {
    this.handle = undefined;
    try {
      const until = performance.now() + SLICE_MS;
      do {
        for (let i = 0; i < EVENTS_PER_LOOK; i++) {
          const event = nextEvent(this.run);
          if (!event) {
            this.hooks.onEnd(this.run.outcome ?? {});
            return;
          }
          if (this.hooks.onEvent(event) === 'stop') return;
          // The guest has run for a while.
          if (event.kind === 'control' || event.kind === 'exit') break;
        }
      } while (performance.now() < until);
      this.handle = setImmediate(() => this.slice());
    } catch (error) {
      this.hooks.onCrash(error);
    }
  }
}
