/**
 * `npm start`: installs, builds and opens the sample workspace in VS Code with the extension loaded.
 *   npm start -- [--in code|download|browser] [--port N]
 * Without --in: an installed `code`; else a downloaded VS Code; else VS Code in the browser (code-server).
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build } from './lib/build.mjs';
import { ensureDependencies } from './lib/dependencies.mjs';
import { findCode } from './lib/find-code.mjs';
import { ROOT, run } from './lib/processes.mjs';
import { main, say } from './lib/say.mjs';

const samples = path.join(ROOT, 'samples');
const extension = ['--disable-workspace-trust', `--extensionDevelopmentPath=${ROOT}`];

await main(async () => {
  const { values } = parseArgs({ options: { in: { type: 'string' }, port: { type: 'string' } } });
  await ensureDependencies();
  await build();
  const ways = { code: openInstalled, download: openDownloaded, browser: () => serve(Number(values.port ?? 0)) };
  const names = values.in === undefined ? Object.keys(ways) : [values.in];
  const reasons = [];
  for (const name of names) {
    if (!(name in ways)) throw new Error(`--in must be one of ${Object.keys(ways).join(', ')}.`);
    const reason = await ways[name]();
    if (reason === undefined) return;
    say(reason);
    reasons.push(reason);
  }
  throw new Error(`VS Code cannot be opened here: ${reasons.join('; ')}.`);
});

/** Each way returns undefined when VS Code is open, else why it is not. */
async function openInstalled() {
  const code = findCode();
  if (!code) return 'no `code` is installed';
  say(`opening samples/ in ${code}`);
  const status = await run(code, [...extension, '--new-window', samples], { shell: process.platform === 'win32' });
  return status === 0 ? undefined : `${code} ended with status ${status}`;
}

async function openDownloaded() {
  if (process.platform === 'linux' && !process.env.DISPLAY && !process.env.WAYLAND_DISPLAY) {
    return 'there is no display for a downloaded VS Code';
  }
  const { downloadAndUnzipVSCode } = await import('@vscode/test-electron');
  const cachePath = path.join(ROOT, '.vscode-test');
  say('looking for a VS Code to download (100 MB, once)');
  let executable;
  try {
    executable = await downloadAndUnzipVSCode({ cachePath, timeout: 15_000 });
  } catch (error) {
    return `VS Code cannot be downloaded (${error instanceof Error ? error.message.split('\n')[0] : error})`;
  }
  const { writeQuietSettings } = await import('../test/vscode-host/settings.mjs');
  const userData = path.join(cachePath, 'start');
  await writeQuietSettings(userData);
  say(`opening samples/ in ${executable}`);
  const args = [...extension, `--user-data-dir=${userData}`, '--no-sandbox', samples];
  spawn(executable, args, { detached: true, stdio: 'ignore' }).unref();
  return undefined;
}

async function serve(port) {
  const { serveSamples } = await import('./lib/serve.mjs');
  return serveSamples({ port, samples });
}
