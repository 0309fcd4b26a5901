import { ERROR_UNRESOLVABLE } from './protocol.js';

/**
 * Every error that a person can meet in the debugger, in one place. Numbers are stable; `showUser` ones open a
 * message box, the others stay beside the input that caused them.
 */
export class UserError extends Error {
  constructor(
    readonly id: number,
    message: string,
    readonly showUser = false,
    /** Where the mistake is, for clients that lead there: path, and line counted from 1. */
    readonly place?: { readonly path: string; readonly line: number },
  ) {
    super(message);
    this.name = 'UserError';
  }
}

export const userErrors = {
  malformedMessage: () => new UserError(1000, 'This message is not a request of the Debug Adapter Protocol.'),
  unknownRequest: (command: string) => new UserError(1001, `The debugger does not support the request ${command}.`),
  badArgument: (name: string, expected: string) =>
    new UserError(1002, `The argument ${name} of this request is missing or wrong: expected ${expected}.`),
  internal: (detail: string) =>
    new UserError(1003, `The debugger met an error of its own: ${detail}. Please report it with the manifest.`, true),

  noManifest: () =>
    new UserError(
      2001,
      'The launch configuration names no manifest. Set "manifest" to the path of a *.snp.yaml file.',
      true,
    ),
  unreadableManifest: (path: string, detail: string) =>
    new UserError(2002, `The launch manifest ${path} cannot be read: ${detail}.`, true),
  /** `quiet`: the client tells it in its own way and leads to the place. */
  unresolvable: (first: string, others: number, place?: UserError['place'], quiet = false) =>
    new UserError(
      ERROR_UNRESOLVABLE,
      others === 0
        ? first
        : `${first} (${others} more ${others === 1 ? 'problem' : 'problems'}: see the Debug Console.)`,
      !quiet,
      place,
    ),
  alreadyLaunched: () => new UserError(2004, 'This session has launched already. Use restart for another run.'),
  attachUnsupported: () =>
    new UserError(
      2005,
      'An emulated launch cannot be attached to. Use a configuration with "request": "launch".',
      true,
    ),

  notLaunched: () => new UserError(3001, 'No launch is loaded yet.'),
  ended: () => new UserError(3002, 'The launch has ended. Restart the session to run it again.'),
  running: () => new UserError(3003, 'The launch is running. Pause it first.'),
  unknownThread: (id: number, count: number) =>
    new UserError(
      3005,
      count === 1
        ? `There is no thread ${id}: this launch has the one thread 1.`
        : `There is no thread ${id}: the threads are the vCPUs, 1 to ${count}.`,
    ),
  staleFrame: (id: number) =>
    new UserError(3006, `The stack frame ${id} is gone: the launch has moved on since it was shown.`),
  staleReference: (reference: number) =>
    new UserError(3007, `The variable reference ${reference} is gone: the launch has moved on since it was shown.`),
  noException: () => new UserError(3008, 'The launch is not stopped on a fault.'),
  badMemoryReference: (reference: string) =>
    new UserError(
      3009,
      `${reference} is not a memory reference: use host:, plain:, gpa:, gpa-shared: or gva0: with an address 0x….`,
    ),
  noVcpu: (index: number) => new UserError(3010, `vCPU ${index} does not exist, or not yet.`),
  unwritable: (address: string) =>
    new UserError(3011, `The byte at ${address} cannot be written: nothing is mapped there.`),
  readOnly: (name: string) => new UserError(3012, `${name} cannot be changed.`),

  expression: (message: string) => new UserError(4001, message),
} as const;

export function toUserError(error: unknown): UserError {
  if (error instanceof UserError) return error;
  return userErrors.internal(error instanceof Error ? error.message : String(error));
}
