import * as vscode from 'vscode';
import { DEBUG_TYPE } from '../ids.js';

/** What a session is doing, as far as views care. */
export type SessionState = 'running' | 'stopped';

/** Follows the debug sessions of our type: which one is shown, and when it stops. */
export class Sessions implements vscode.Disposable {
  private readonly states = new Map<string, SessionState>();
  private readonly sessions = new Map<string, vscode.DebugSession>();
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly disposables: vscode.Disposable[];

  /** The current session is another one, or has stopped, run on or ended. */
  readonly onDidChange = this.changed.event;

  constructor() {
    this.disposables = [
      this.changed,
      vscode.debug.registerDebugAdapterTrackerFactory(DEBUG_TYPE, {
        createDebugAdapterTracker: (session) => ({
          onWillStartSession: () => this.set(session, 'running'),
          onDidSendMessage: (message) => this.follow(session, message),
          onWillStopSession: () => this.remove(session),
          onExit: () => this.remove(session),
        }),
      }),
      vscode.debug.onDidChangeActiveDebugSession(() => this.changed.fire()),
      vscode.debug.onDidTerminateDebugSession((session) => this.remove(session)),
    ];
  }

  /** The session on which views look: the active one of our type, or else the newest. */
  get current(): vscode.DebugSession | undefined {
    const active = vscode.debug.activeDebugSession;
    return (active && this.sessions.get(active.id)) ?? [...this.sessions.values()].at(-1);
  }

  state(session: vscode.DebugSession): SessionState | undefined {
    return this.states.get(session.id);
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  private follow(session: vscode.DebugSession, message: unknown): void {
    const { type, event } = message as { type?: string; event?: string };
    if (type !== 'event') return;
    if (event === 'stopped') this.set(session, 'stopped');
    else if (event === 'continued') this.set(session, 'running');
    else if (event === 'terminated') this.remove(session);
  }

  private set(session: vscode.DebugSession, state: SessionState): void {
    this.sessions.set(session.id, session);
    this.states.set(session.id, state);
    this.changed.fire();
  }

  private remove(session: vscode.DebugSession): void {
    this.states.delete(session.id);
    if (this.sessions.delete(session.id)) this.changed.fire();
  }
}
