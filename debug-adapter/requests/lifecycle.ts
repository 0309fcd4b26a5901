import { asRecord, flag, optionalText } from '../arguments.js';
import { userErrors } from '../errors.js';
import { readLaunchArguments } from '../launch-target.js';
import { CAPABILITIES } from './capabilities.js';
import type { Handler } from './handler.js';

export const initialize: Handler = (context, args) => {
  context.dialect = {
    lines: flag(args, 'linesStartAt1', true) ? 1 : 0,
    columns: flag(args, 'columnsStartAt1', true) ? 1 : 0,
    uris: optionalText(args, 'pathFormat') === 'uri',
    invalidated: flag(args, 'supportsInvalidatedEvent', false),
    memoryEvents: flag(args, 'supportsMemoryEvent', false),
  };
  return CAPABILITIES;
};

/** `initialized` comes after the manifest is read, so that breakpoints can be verified at once. */
export const launch: Handler = ({ session, sendLater }, args) => {
  if (session.phase !== 'idle') throw userErrors.alreadyLaunched();
  session.load(readLaunchArguments(args));
  sendLater('initialized');
  session.startIfReady();
  return undefined;
};

export const attach: Handler = () => {
  throw userErrors.attachUnsupported();
};

export const configurationDone: Handler = ({ session }) => {
  session.configure();
  return undefined;
};

export const restart: Handler = ({ session }, args) => {
  const next = args['arguments'];
  session.restart(next === undefined ? undefined : readLaunchArguments(asRecord(next)));
  return undefined;
};

export const terminate: Handler = ({ session, sendLater }) => {
  session.terminate();
  sendLater('terminated');
  return undefined;
};

export const disconnect: Handler = ({ session, exitLater }) => {
  session.terminate();
  exitLater();
  return undefined;
};
