import { integer, type RawArguments } from '../arguments.js';
import { userErrors } from '../errors.js';
import type { Step } from '../run/goals.js';
import type { Session } from '../session.js';
import type { Handler, HandlerContext } from './handler.js';

/** One thread while the host launches; then a thread for each vCPU, numbered from 1. */
export const threads: Handler = ({ session }) => ({
  threads: session.threadNames().map((name, index) => ({ id: index + 1, name })),
});

export const continueRun: Handler = ({ session }, args) => {
  threadOf(session, args);
  session.continue();
  return { allThreadsContinued: true };
};

const step =
  (kind: Step) =>
  ({ session }: HandlerContext, args: RawArguments): undefined => {
    session.step(kind, threadOf(session, args));
    return undefined;
  };

/**
 * Code of the guest is stepped by instruction whatever the granularity: there are no lines. In the host's code an
 * instruction, a line and a statement are one operation.
 */
export const next: Handler = step('over');
export const stepIn: Handler = step('in');
export const stepOut: Handler = step('out');

export const pause: Handler = ({ session }, args) => {
  threadOf(session, args);
  session.pause();
  return undefined;
};

/** The vCPU that a request means. 0 means the whole machine to some clients. */
export function threadOf(session: Session, args: RawArguments): number {
  const id = integer(args, 'threadId');
  const count = session.threadNames().length;
  if (id === 0 && count > 1) return session.currentVcpu;
  if (id < 1 || id > count) throw userErrors.unknownThread(id, count);
  return id - 1;
}
