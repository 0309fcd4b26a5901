import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DebugClient } from '@vscode/debugadapter-testsupport';
import { tinyFolder } from './client.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const MAIN = join(ROOT, 'debug-adapter', 'main.ts');
const ENV = { ...process.env, NODE_OPTIONS: '--import tsx' };

describe('the adapter as a process', () => {
  let folder: ReturnType<typeof tinyFolder>;
  before(() => {
    folder = tinyFolder();
  });
  after(() => folder.remove());

  it('serves a session of the standard test client', async () => {
    const client = new DebugClient('node', MAIN, 'sev-snp', { cwd: ROOT, env: ENV });
    client.defaultTimeout = 20_000;
    await client.start();
    try {
      await client.hitBreakpoint({ manifest: folder.manifest, runGuest: false }, { path: folder.manifest, line: 17 });
      await Promise.all([
        client.assertStoppedLocation('step', { path: folder.manifest, line: 18 }),
        client.nextRequest({ threadId: 1 }),
      ]);
      await Promise.all([client.waitForEvent('terminated'), client.continueRequest({ threadId: 1 })]);
    } finally {
      await client.stop();
    }
  });

  /** Starts the process, writes `input`, and waits for its end. */
  const talk = (input: string, close = true): Promise<{ code: number | null; output: string; errors: string }> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [MAIN], { cwd: ROOT, env: ENV });
      let output = '';
      let errors = '';
      child.stdout.on('data', (data: Buffer) => {
        output += data.toString();
      });
      child.stderr.on('data', (data: Buffer) => {
        errors += data.toString();
      });
      child.on('exit', (code) => resolve({ code, output, errors }));
      child.stdin.write(input);
      if (close) child.stdin.end();
    });

  const frame = (json: string): string => `Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`;

  it('ends when its client goes away', async () => {
    assert.equal((await talk('')).code, 0);
  });

  it('survives unreadable messages and answers the next one', async () => {
    const request = frame('{"seq":1,"type":"request","command":"initialize","arguments":{}}');
    const goodbye = frame('{"seq":2,"type":"request","command":"disconnect"}');
    const { code, output, errors } = await talk(
      `${frame('{nonsense')}${frame('null')}${frame('[1]')}X-Header: 1\r\n\r\n${request}${goodbye}`,
      false,
    );
    assert.equal(code, 0, errors);
    assert.match(output, /not a request of the Debug Adapter Protocol/);
    assert.match(output, /"supportsConfigurationDoneRequest":true/);
  });

  it('starts when a wrapper loads it, as VS Code does', async () => {
    const code = await new Promise((resolve) => {
      const child = spawn(process.execPath, ['-e', 'import(process.argv[1])', MAIN], { cwd: ROOT, env: ENV });
      child.on('exit', resolve);
      child.stdin.write(frame('{"seq":1,"type":"request","command":"disconnect"}'));
      child.stdout.once('data', (data: Buffer) => assert.match(data.toString(), /Content-Length/));
    });
    assert.equal(code, 0);
  });
});
