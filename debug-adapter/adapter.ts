import { ProtocolServer } from '@vscode/debugadapter/lib/protocol.js';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { asRecord } from './arguments.js';
import { toUserError, userErrors } from './errors.js';
import { HANDLERS } from './handlers.js';
import { functionAnswer, lineAnswer } from './requests/breakpoints.js';
import type { HandlerContext } from './requests/handler.js';
import { sourceOf } from './requests/source.js';
import { Session } from './session.js';

/** The wire: turns messages into calls of the handler table, and what the session tells into events. */
export class SnpDebugAdapter extends ProtocolServer {
  private readonly context: HandlerContext;
  private later: (() => void)[] = [];

  constructor(exit: (code: number) => void) {
    super();
    // The base class reports unreadable messages as `error` events, which kill a process that does not listen.
    this.on('error', () =>
      this.send('output', { category: 'stderr', output: `${userErrors.malformedMessage().message}\n` }),
    );
    this.on('close', () => exit(0));
    this.context = {
      session: this.createSession(),
      dialect: { lines: 1, columns: 1, uris: false, invalidated: false, memoryEvents: false },
      sendLater: (event, body) => this.later.push(() => this.send(event, body)),
      exitLater: () => this.later.push(() => exit(0)),
    };
  }

  override handleMessage(message: DebugProtocol.ProtocolMessage): void {
    const { type, command, seq } = asRecord(message);
    if (type !== 'request') return;
    if (typeof command !== 'string' || typeof seq !== 'number') {
      this.send('output', { category: 'stderr', output: `${userErrors.malformedMessage().message}\n` });
      return;
    }
    this.dispatchRequest(message as DebugProtocol.Request);
  }

  protected override dispatchRequest(request: DebugProtocol.Request): void {
    const { command, seq } = request;
    const response = { seq: 0, type: 'response', request_seq: seq, command, success: true };
    try {
      const handler = HANDLERS.get(command);
      if (!handler) throw userErrors.unknownRequest(command);
      const body = handler(this.context, asRecord(request.arguments));
      this.sendResponse(body === undefined ? response : { ...response, body });
    } catch (error) {
      this.later = [];
      const { id, message, showUser, place } = toUserError(error);
      const variables = place && { path: place.path, line: String(place.line) };
      this.sendResponse({
        ...response,
        success: false,
        message,
        body: { error: { id, format: message, showUser, ...(variables ? { variables } : {}) } },
      });
    }
    for (const action of this.later.splice(0)) action();
  }

  /** For an exception that nobody caught: says so, so that it is not a silent death. */
  reportCrash(error: unknown): void {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.send('output', { category: 'stderr', output: `${userErrors.internal(detail).message}\n` });
    this.send('terminated');
  }

  private send(event: string, body?: object): void {
    const message = { seq: 0, type: 'event', event };
    this.sendEvent(body === undefined ? message : { ...message, body });
  }

  private createSession(): Session {
    return new Session({
      stopped: ({ reason, vcpu, text, breakpoints = [] }) =>
        this.send('stopped', {
          reason,
          threadId: vcpu + 1,
          allThreadsStopped: true,
          ...(text === undefined ? {} : { text, description: `Stopped on a fault: ${text}` }),
          ...(breakpoints.length > 0 ? { hitBreakpointIds: breakpoints } : {}),
        }),
      threadsStarted: (count) => {
        for (let id = 2; id <= count; id++) this.send('thread', { reason: 'started', threadId: id });
      },
      output: (category, output, at, group) => {
        const { dialect } = this.context;
        const source = at && { source: sourceOf(at.path, dialect), line: at.line + dialect.lines };
        this.send('output', { category, output, ...source, ...(group ? { group } : {}) });
      },
      breakpointsChanged: () => {
        const { session, dialect } = this.context;
        for (const breakpoint of session.breakpoints.lines) {
          this.send('breakpoint', { reason: 'changed', breakpoint: lineAnswer(breakpoint, session, dialect) });
        }
        for (const breakpoint of session.breakpoints.functions) {
          this.send('breakpoint', { reason: 'changed', breakpoint: functionAnswer(breakpoint, session) });
        }
      },
      ended: (exitCode) => {
        this.send('exited', { exitCode });
        this.send('terminated');
      },
    });
  }
}
