import { integer, type RawArguments } from '../arguments.js';
import { userErrors } from '../errors.js';
import { THREAD_ID } from '../session.js';
import type { Handler } from './handler.js';

export const threads: Handler = () => ({ threads: [{ id: THREAD_ID, name: 'launch' }] });

export const continueRun: Handler = ({ session }, args) => {
  checkThread(args);
  session.continue();
  return { allThreadsContinued: true };
};

export const next: Handler = ({ session }, args) => {
  checkThread(args);
  session.step('over');
  return undefined;
};

export const stepIn: Handler = ({ session }, args) => {
  checkThread(args);
  session.step('in');
  return undefined;
};

export const stepOut: Handler = ({ session }, args) => {
  checkThread(args);
  session.step('out');
  return undefined;
};

export const pause: Handler = ({ session }, args) => {
  checkThread(args);
  session.pause();
  return undefined;
};

export function checkThread(args: RawArguments): void {
  const id = integer(args, 'threadId');
  if (id !== THREAD_ID) throw userErrors.unknownThread(id);
}
