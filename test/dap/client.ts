import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { SnpDebugAdapter } from '../../debug-adapter/adapter.js';
import { tinyOvmf } from '../support/tiny-ovmf.js';

export type Body = Record<string, unknown>;
export type Message = DebugProtocol.ProtocolMessage & { readonly event?: string; readonly body?: Body };

export interface Event {
  readonly event: string;
  readonly body: Body;
}

export interface StartOptions {
  readonly stopOnEntry?: boolean;
  readonly noDebug?: boolean;
  readonly lines?: readonly number[];
  /** The suites of the launch have no guest to run. */
  readonly runGuest?: boolean;
}

/** A client in the adapter's process: messages without a pipe, in a reproducible order. */
export class DapClient {
  readonly adapter: SnpDebugAdapter;
  /** Everything that went over the wire, in order. */
  readonly wire: { readonly to: 'adapter' | 'client'; readonly message: Message }[] = [];
  exitCode: number | undefined;
  private seq = 1;
  private readonly waiting: { events: readonly string[]; resolve: (event: Event) => void }[] = [];
  private readonly unseen: Event[] = [];
  private readonly responses = new Map<number, (response: DebugProtocol.Response) => void>();

  constructor() {
    this.adapter = new SnpDebugAdapter((code) => {
      this.exitCode = code;
    });
    // The listener's parameter has no type in the library.
    this.adapter.onDidSendMessage((message) => this.receive(message as Message));
  }

  /** The response, successful or not. */
  send(command: string, args?: unknown): Promise<DebugProtocol.Response> {
    const request = { seq: this.seq++, type: 'request', command, ...(args === undefined ? {} : { arguments: args }) };
    this.wire.push({ to: 'adapter', message: request });
    return new Promise((resolve) => {
      this.responses.set(request.seq, resolve);
      this.adapter.handleMessage(request as DebugProtocol.Request);
    });
  }

  /** The body of a successful response. */
  async ask<T = Body>(command: string, args?: unknown): Promise<T> {
    const response = await this.send(command, args);
    if (!response.success) throw new Error(`${command} failed: ${response.message}`);
    return response.body as T;
  }

  /** The next event of one of these kinds that nobody has waited for yet. */
  oneOf(events: readonly string[], timeout = 60_000): Promise<Event> {
    const index = this.unseen.findIndex((e) => events.includes(e.event));
    const found = index < 0 ? undefined : this.unseen.splice(index, 1)[0];
    if (found) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no event ${events.join(' or ')} in ${timeout} ms`)), timeout);
      this.waiting.push({
        events,
        resolve: (event) => {
          clearTimeout(timer);
          resolve(event);
        },
      });
    });
  }

  async event(event: string): Promise<Body> {
    return (await this.oneOf([event])).body;
  }

  /** The body of `stopped`, or undefined if the launch has ended. */
  async stoppedOrEnded(): Promise<Body | undefined> {
    const { event, body } = await this.oneOf(['stopped', 'terminated']);
    return event === 'stopped' ? body : undefined;
  }

  /** initialize, launch, the breakpoints, configurationDone. */
  async start(manifest: string, options: StartOptions = {}) {
    await this.ask('initialize', {
      adapterID: 'sev-snp',
      linesStartAt1: true,
      columnsStartAt1: true,
      pathFormat: 'path',
    });
    const { stopOnEntry, noDebug, runGuest = false } = options;
    await this.ask('launch', { manifest, stopOnEntry, noDebug, runGuest });
    await this.event('initialized');
    if (options.lines) await this.setLines(manifest, options.lines);
    await this.ask('configurationDone');
  }

  async setLines(path: string, lines: readonly (number | Body)[]): Promise<readonly DebugProtocol.Breakpoint[]> {
    const breakpoints = lines.map((line) => (typeof line === 'number' ? { line } : line));
    const body = await this.ask<DebugProtocol.SetBreakpointsResponse['body']>('setBreakpoints', {
      source: { path },
      breakpoints,
    });
    return body.breakpoints;
  }

  async step(command: 'next' | 'stepIn' | 'stepOut' | 'continue'): Promise<Body> {
    await this.ask(command, { threadId: 1 });
    const body = await this.stoppedOrEnded();
    if (!body) throw new Error(`the launch ended after ${command}`);
    return body;
  }

  async stack(): Promise<readonly DebugProtocol.StackFrame[]> {
    const body = await this.ask<DebugProtocol.StackTraceResponse['body']>('stackTrace', { threadId: 1 });
    return body.stackFrames;
  }

  /** Names of the frames, innermost first. */
  async names(): Promise<readonly string[]> {
    return (await this.stack()).map((frame) => frame.name);
  }

  async evaluate(expression: string, frameId?: number): Promise<string> {
    return (await this.ask<{ result: string }>('evaluate', { expression, frameId, context: 'repl' })).result;
  }

  async scope(name: string): Promise<Map<string, DebugProtocol.Variable>> {
    const frame = (await this.stack())[0];
    const { scopes } = await this.ask<DebugProtocol.ScopesResponse['body']>('scopes', { frameId: frame?.id });
    const scope = scopes.find((s) => s.name.startsWith(name));
    if (!scope) throw new Error(`no scope ${name} among ${scopes.map((s) => s.name).join(', ')}`);
    return this.children(scope.variablesReference);
  }

  async children(variablesReference: number, paging: Body = {}): Promise<Map<string, DebugProtocol.Variable>> {
    const { variables } = await this.ask<DebugProtocol.VariablesResponse['body']>('variables', {
      variablesReference,
      ...paging,
    });
    return new Map(variables.map((v) => [v.name, v]));
  }

  /** Console text so far, of one category or of all. */
  output(category?: string): string {
    return this.wire
      .filter(({ message }) => message.event === 'output' && (!category || message.body?.['category'] === category))
      .map(({ message }) => String(message.body?.['output']))
      .join('');
  }

  private receive(message: Message): void {
    this.wire.push({ to: 'client', message });
    if (message.type === 'response') {
      const response = message as DebugProtocol.Response;
      this.responses.get(response.request_seq)?.(response);
      this.responses.delete(response.request_seq);
      return;
    }
    const [event, body] = [String(message.event), message.body ?? {}];
    const index = this.waiting.findIndex((w) => w.events.includes(event));
    const waiter = index < 0 ? undefined : this.waiting.splice(index, 1)[0];
    if (waiter) waiter.resolve({ event, body });
    else this.unseen.push({ event, body });
  }
}

/** A folder with files that a test launches from; deleted by `remove`. */
export interface Folder {
  readonly path: string;
  write(name: string, content: string | Uint8Array): string;
  remove(): void;
}

export function temporaryFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'sev-snp-dap-'));
  return {
    path,
    write(name, content) {
      const file = join(path, name);
      writeFileSync(file, content);
      return file;
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** Lines are counted from 1 in the tests: 1 snp … */
export const TINY_MANIFEST = `snp: 1
host:
  processor: milan
  kvm: "6.11"
vm:
  vmm: qemu
  vcpus: 1
  cpu: EPYC-Milan-v2
  memory: 16MiB
launch:
  policy: 0x30000
  update:
    - firmware: tiny.fd
    - gpa: 0x1000
      type: normal
      file: boot.bin
    - { gpa: 0x3000, type: zero, length: 8KiB }
  finish:
    host-data: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
`;

/** TINY_MANIFEST with 16 MiB of zero pages, which take long enough to do something meanwhile. */
export const LONG_MANIFEST = TINY_MANIFEST.replace('8KiB', '16MiB')
  .replace('gpa: 0x3000', 'gpa: 0x2000000')
  .replace('memory: 16MiB', 'memory: 64MiB');

/** A folder with a small launch: 16 firmware pages, one page of data, two zero pages. */
export function tinyFolder(): Folder & { readonly manifest: string } {
  const folder = temporaryFolder();
  folder.write('tiny.fd', tinyOvmf());
  folder.write('boot.bin', new TextEncoder().encode('boot code '.repeat(400)));
  return { ...folder, manifest: folder.write('tiny.snp.yaml', TINY_MANIFEST) };
}
