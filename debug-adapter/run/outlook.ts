import { type Fault, rootFault } from '../../engine/fault.js';
import type { EngineEvent } from '../../engine/timeline/event.js';
import type { LaunchRun } from '../../engine/timeline/run.js';
import { Execution } from './execution.js';

/**
 * What becomes of a refusal. The layer that refuses cannot know whether its caller will cope; but a launch is
 * deterministic, so a second run of the same plan tells, and gives the complete chain of faults.
 */
export interface Outlook {
  /** The fault that ends the launch, outermost layer first; undefined if it completes. */
  readonly fatal?: Fault;
  /** Position of the event where its innermost check failed. */
  readonly position?: number;
  /** What the VMM prints after that. */
  readonly messages: readonly string[];
}

/** Remembers the last refusal, to tell a new one from the same one on its way up. */
export interface RefusalWatch {
  last?: { readonly fault: Fault; readonly depth: number };
}

/** The fault of a `leave` that no deeper frame has reported just before: the check that really failed. */
export function freshRefusal(watch: RefusalWatch, event: EngineEvent): Fault | undefined {
  if (event.kind !== 'leave' || !event.fault) return undefined;
  const { fault, depth } = event;
  const passedOn = watch.last !== undefined && watch.last.depth > depth && sameRoot(watch.last.fault, fault);
  watch.last = { fault, depth };
  return passedOn ? undefined : fault;
}

/** Runs `again` to its end in slices and reports. Returns a function that gives up. */
export function lookAhead(
  again: LaunchRun,
  done: (outlook: Outlook) => void,
  crashed: (error: unknown) => void,
): () => void {
  const watch: RefusalWatch = {};
  const refusals: { readonly fault: Fault; readonly position: number }[] = [];
  const messages: { readonly text: string; readonly position: number }[] = [];
  const execution = new Execution(again, {
    onEvent: (event) => {
      const fault = freshRefusal(watch, event);
      if (fault) refusals.push({ fault, position: again.position });
      if (event.kind === 'log' && event.source === 'vmm') messages.push({ text: event.text, position: again.position });
      return 'go';
    },
    onEnd: ({ fault: fatal }) => {
      const position = fatal && refusals.reverse().find(({ fault }) => sameRoot(fault, fatal))?.position;
      const after = messages.filter((m) => position !== undefined && m.position > position);
      done({ fatal, position, messages: after.map((m) => m.text) });
    },
    onCrash: crashed,
  });
  execution.resume();
  return () => execution.cancel();
}

function sameRoot(a: Fault, b: Fault): boolean {
  const [x, y] = [rootFault(a), rootFault(b)];
  return x.check === y.check && x.message === y.message;
}
