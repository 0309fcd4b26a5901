import type { RawArguments } from '../arguments.js';
import type { Session } from '../session.js';
import type { ClientCounting } from '../stack.js';

/** How the client counts and names, told in its initialize request. */
export interface ClientDialect extends ClientCounting {
  readonly uris: boolean;
  /** It reads variables and memory again when it is told that they have changed. */
  readonly invalidated: boolean;
  readonly memoryEvents: boolean;
}

export interface HandlerContext {
  readonly session: Session;
  dialect: ClientDialect;
  /** Sends an event after the response. */
  readonly sendLater: (event: string, body?: object) => void;
  /** Ends the process after the response has gone out. */
  readonly exitLater: () => void;
}

/** Answers one request: returns the response's body. Throws a UserError to refuse. */
export type Handler = (context: HandlerContext, args: RawArguments) => object | undefined;
