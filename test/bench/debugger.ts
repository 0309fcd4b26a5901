/**
 * How long a step of a running guest takes in the debugger, through the pipe that an editor uses. Run with
 * `node --import tsx test/bench/debugger.ts`; `npm run bench` runs it, too. The adapter is bundled, as it is shipped.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';

const ROOT = join(__dirname, '../..');
const STEPS = 400;
const LIMIT = 5;
const PAUSES = 40;
const PAUSE_LIMIT = 50;

interface Message {
  readonly type: string;
  readonly event?: string;
  readonly request_seq?: number;
  readonly success?: boolean;
  readonly message?: string;
  readonly body?: Record<string, unknown>;
}

/** A client of a few lines: one that is quick itself. */
class Client {
  private seq = 1;
  private buffer = Buffer.alloc(0);
  private readonly waiting: { readonly is: (m: Message) => boolean; readonly resolve: (m: Message) => void }[] = [];

  constructor(private readonly process: ChildProcess) {
    process.stdout?.on('data', (data: Buffer) => this.receive(data));
  }

  next(is: (message: Message) => boolean): Promise<Message> {
    return new Promise((resolve) => this.waiting.push({ is, resolve }));
  }

  async ask(command: string, args: object = {}): Promise<Record<string, unknown>> {
    const seq = this.seq++;
    const answer = this.next((m) => m.type === 'response' && m.request_seq === seq);
    const json = JSON.stringify({ seq, type: 'request', command, arguments: args });
    this.process.stdin?.write(`Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`);
    const { success, message, body } = await answer;
    if (!success) throw new Error(`${command}: ${message}`);
    return body ?? {};
  }

  /** Until the guest stands; false if it has ended. */
  async stopped(): Promise<boolean> {
    return (await this.next((m) => m.event === 'stopped' || m.event === 'terminated')).event === 'stopped';
  }

  private receive(data: Buffer): void {
    this.buffer = Buffer.concat([this.buffer, data]);
    for (;;) {
      const head = this.buffer.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = Number(/Content-Length: (\d+)/.exec(this.buffer.toString('latin1', 0, head))?.[1] ?? 0);
      if (this.buffer.length < head + 4 + length) return;
      const message = JSON.parse(this.buffer.toString('utf8', head + 4, head + 4 + length)) as Message;
      this.buffer = this.buffer.subarray(head + 4 + length);
      const index = this.waiting.findIndex(({ is }) => is(message));
      if (index >= 0) this.waiting.splice(index, 1)[0]?.resolve(message);
    }
  }
}

/** What an editor asks for after a stop: stack, registers, the disassembly around, the RMP. */
async function lookAround(client: Client): Promise<void> {
  await client.ask('threads');
  const { stackFrames } = await client.ask('stackTrace', { threadId: 1, startFrame: 0, levels: 20 });
  const [top] = stackFrames as { id: number; instructionPointerReference?: string }[];
  const { scopes } = await client.ask('scopes', { frameId: top?.id });
  const [first] = scopes as { variablesReference: number }[];
  await client.ask('variables', { variablesReference: first?.variablesReference });
  const memoryReference = top?.instructionPointerReference;
  if (memoryReference)
    await client.ask('disassemble', { memoryReference, instructionOffset: -50, instructionCount: 100 });
  await client.ask('snp/rmpRanges');
}

async function time(body: () => Promise<void>): Promise<number> {
  const start = process.hrtime.bigint();
  await body();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

async function measure(client: Client, command: 'stepIn' | 'next'): Promise<boolean> {
  const steps: number[] = [];
  const looks: number[] = [];
  let stands = true;
  for (let n = 0; n < STEPS; n++) {
    const took = await time(async () => {
      const stop = client.stopped();
      await client.ask(command, { threadId: 1, granularity: 'instruction' });
      stands = await stop;
    });
    // Steps over calls come to the end of the guest sooner or later.
    if (!stands) break;
    steps.push(took);
    if (n % 8 === 0) looks.push(await time(() => lookAround(client)));
  }
  const median = quantile(steps, 0.5);
  const isMet = median < LIMIT;
  console.log(
    `${command.padEnd(6)} in a guest, ${steps.length} times   ${median.toFixed(2)} ms, 95 %: ${quantile(steps, 0.95).toFixed(2)} ms   ` +
      `target < ${LIMIT} ms: ${isMet ? 'met' : 'MISSED'}; then all views: ${quantile(looks, 0.5).toFixed(1)} ms`,
  );
  return isMet;
}

/** From the key to the stop, in the middle of a run at full speed. */
async function measurePause(client: Client): Promise<boolean> {
  const pauses: number[] = [];
  for (let n = 0; n < PAUSES; n++) {
    const stop = client.stopped();
    await client.ask('continue', { threadId: 1 });
    await new Promise((resolve) => setTimeout(resolve, 7 * (n % 4)));
    let stands = false;
    const took = await time(async () => {
      await client.ask('pause', { threadId: 1 });
      stands = await stop;
    });
    if (!stands) break;
    pauses.push(took);
  }
  const slowest = quantile(pauses, 1);
  const most = quantile(pauses, 0.95);
  const isMet = most < PAUSE_LIMIT;
  console.log(
    `pause of a guest, ${pauses.length} times   ${quantile(pauses, 0.5).toFixed(1)} ms, 95 %: ${most.toFixed(1)} ms, slowest: ${slowest.toFixed(1)} ms   ` +
      `target < ${PAUSE_LIMIT} ms: ${isMet ? 'met' : 'MISSED'}`,
  );
  return isMet;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'snp-bench-debugger-'));
  const outfile = join(folder, 'debug-adapter.js');
  buildSync({
    entryPoints: [join(ROOT, 'debug-adapter/main.ts')],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    mainFields: ['module', 'main'],
    minify: true,
    outfile,
  });
  copyFileSync(require.resolve('iced-x86/iced_x86_bg.wasm'), join(folder, 'iced_x86_bg.wasm'));
  const child = spawn(process.execPath, [outfile], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const client = new Client(child);
    await client.ask('initialize', { adapterID: 'sev-snp' });
    await client.ask('launch', { manifest: join(ROOT, 'samples/guests/hello.snp.yaml') });
    // In long mode, in C code, with breakpoints set.
    await client.ask('setFunctionBreakpoints', { breakpoints: [{ name: 'exit:VMGEXIT' }] });
    const first = client.stopped();
    await client.ask('configurationDone');
    await first;
    await client.ask('setFunctionBreakpoints', { breakpoints: [] });
    const instructions = [0x1000, 0x2000].map((n) => ({ instructionReference: `gva0:0x${n.toString(16)}` }));
    await client.ask('setInstructionBreakpoints', { breakpoints: instructions });
    const results = [await measure(client, 'stepIn')];
    results.push(await measurePause(client));
    results.push(await measure(client, 'next'));
    if (results.includes(false)) process.exitCode = 1;
  } finally {
    child.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

void main();
