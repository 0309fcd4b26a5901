import * as vscode from 'vscode';

export interface Stop {
  readonly reason: string;
  readonly text?: string;
  readonly description?: string;
  readonly threadId: number;
}

interface Frame {
  readonly id: number;
  readonly name: string;
  readonly line: number;
  readonly source?: { readonly path?: string };
}

interface Variable {
  readonly name: string;
  readonly value: string;
  readonly variablesReference: number;
}

/** One debug session, driven the way the editor drives it; stops and output are collected from the start. */
export class DebugDriver implements vscode.Disposable {
  private readonly stops: Stop[] = [];
  private readonly waiting: ((stop: Stop | 'ended') => void)[] = [];
  private readonly tracker: vscode.Disposable;
  private ended = false;
  private current: vscode.DebugSession | undefined;
  output = '';

  constructor() {
    this.tracker = vscode.debug.registerDebugAdapterTrackerFactory('sev-snp', {
      createDebugAdapterTracker: (session) => ({
        onWillStartSession: () => {
          this.current = session;
        },
        onDidSendMessage: (message) => this.receive(message),
        onExit: () => this.end(),
      }),
    });
  }

  get session(): vscode.DebugSession {
    if (!this.current) throw new Error('no session of type sev-snp has started');
    return this.current;
  }

  /** The next stop; rejects when the session ends instead or nothing comes. */
  async stopped(): Promise<Stop> {
    const next = await this.next();
    if (next === 'ended') throw new Error(`the session ended instead of stopping; output:\n${this.output}`);
    return next;
  }

  async stepOver(): Promise<Stop> {
    return this.command('next');
  }

  async stepIn(): Promise<Stop> {
    return this.command('stepIn');
  }

  async stepOut(): Promise<Stop> {
    return this.command('stepOut');
  }

  async go(): Promise<Stop> {
    return this.command('continue');
  }

  async frames(threadId = 1): Promise<readonly Frame[]> {
    const { stackFrames } = await this.session.customRequest('stackTrace', { threadId, startFrame: 0, levels: 50 });
    return stackFrames as Frame[];
  }

  /** The variables of every scope of the top frame, by scope name. */
  async variables(): Promise<Record<string, readonly Variable[]>> {
    const [top] = await this.frames();
    const { scopes } = await this.session.customRequest('scopes', { frameId: top?.id });
    const result: Record<string, readonly Variable[]> = {};
    for (const scope of scopes as { name: string; variablesReference: number }[]) {
      const answer = await this.session.customRequest('variables', { variablesReference: scope.variablesReference });
      result[scope.name] = answer.variables as Variable[];
    }
    return result;
  }

  async evaluate(expression: string): Promise<string> {
    const [top] = await this.frames();
    const answer = await this.session.customRequest('evaluate', { expression, frameId: top?.id, context: 'repl' });
    return answer.result as string;
  }

  /** Waits until the debug console shows `text`. */
  async printed(text: string): Promise<void> {
    for (const end = Date.now() + 20_000; Date.now() < end; ) {
      if (this.output.includes(text)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`the debug console does not show ${text}, but:\n${this.output}`);
  }

  async finish(): Promise<void> {
    if (this.current && !this.ended) {
      const over = new Promise<void>((resolve) => vscode.debug.onDidTerminateDebugSession(() => resolve()));
      await vscode.debug.stopDebugging(this.current);
      await over;
    }
    vscode.debug.removeBreakpoints(vscode.debug.breakpoints);
  }

  dispose(): void {
    this.tracker.dispose();
  }

  private async command(command: 'next' | 'stepIn' | 'stepOut' | 'continue'): Promise<Stop> {
    const stop = this.stopped();
    await this.session.customRequest(command, { threadId: 1 });
    return stop;
  }

  private receive(message: { type?: string; event?: string; body?: Stop & { output?: string } }): void {
    if (message.type !== 'event') return;
    if (message.event === 'output') this.output += message.body?.output ?? '';
    if (message.event === 'stopped' && message.body) this.deliver(message.body);
    if (message.event === 'terminated') this.end();
  }

  private deliver(stop: Stop): void {
    const waiting = this.waiting.shift();
    if (waiting) waiting(stop);
    else this.stops.push(stop);
  }

  private end(): void {
    this.ended = true;
    for (const waiting of this.waiting.splice(0)) waiting('ended');
  }

  private next(): Promise<Stop | 'ended'> {
    const early = this.stops.shift();
    if (early) return Promise.resolve(early);
    if (this.ended) return Promise.resolve('ended');
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no stop within 20 s')), 20_000);
      this.waiting.push((stop) => {
        clearTimeout(timer);
        resolve(stop);
      });
    });
  }
}
