/** Starts and ends the VS Code server of the fallback host. */
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * @typedef {object} RunningServer
 * @property {string} authority host:port
 * @property {string} url
 * @property {string[]} hostExits how each extension host ended, in the server's words: `code: 0, signal: null`
 * @property {Promise<number | null>} exited
 * @property {() => string} log the last lines of its output
 * @property {() => Promise<void>} stop ends it with all its children
 */

/**
 * @param {object} options
 * @param {import('./setup.mjs').VscodeHost} options.host
 * @param {string} options.temporary folder for the server's own files
 * @param {string} options.userData
 * @param {string} options.extensions
 * @param {boolean} options.development honour extensions under development and tests named in the URL
 * @param {number} [options.port] 0 or absent: any free one
 * @param {string} [options.token] connection token; absent: none is asked for
 * @param {boolean} [options.trust] absent: workspace trust is switched off
 * @param {(text: string) => void} [options.onOutput]
 * @returns {Promise<RunningServer>}
 */
export async function startServer(options) {
  const port = options.port || (await freePort());
  const authority = `127.0.0.1:${port}`;
  const args = [
    ...[options.host.serverMain, '--host', '127.0.0.1', '--port', String(port)],
    ...['--user-data-dir', options.userData, '--extensions-dir', options.extensions],
    ...['--server-data-dir', options.temporary, '--telemetry-level', 'off', '--accept-server-license-terms'],
    ...(options.token ? ['--connection-token', options.token] : ['--without-connection-token']),
    ...(options.trust ? [] : ['--disable-workspace-trust']),
    // A built workbench ignores development and test paths in its URL without this. It also hides notifications.
    ...(options.development ? ['--enable-smoke-test-driver'] : []),
  ];
  // Its own process group: the extension host, language server and debug adapters end with it.
  const child = spawn(options.host.node, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: options.temporary },
  });
  const hostExits = [];
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream.setEncoding('utf8').on('data', (text) => {
      log = (log + text).slice(-16_384);
      options.onOutput?.(text);
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const end = /Extension Host Process exited with (code: \S+, signal: \w+)/.exec(line)?.[1];
        if (end !== undefined) hostExits.push(end);
      }
    });
  }
  let ended = false;
  const exited = new Promise((resolve) => {
    child.once('error', () => resolve(null));
    child.once('exit', resolve);
  }).then((code) => {
    ended = true;
    return code;
  });
  const url = `http://${authority}`;
  const stop = () => stopGroup(child.pid, exited);
  for (let tries = 0; !(await answers(`${url}/version`)); tries++) {
    if (ended || tries > 600) {
      await stop();
      throw new Error(`the VS Code server did not start:\n${log}`);
    }
    await sleep(50);
  }
  return { authority, url, hostExits, exited, log: () => log, stop };
}

/** SIGTERM to the whole group, SIGKILL to what is left after two seconds. */
async function stopGroup(pid, exited) {
  const signal = (name) => {
    try {
      process.kill(-pid, name);
      return true;
    } catch {
      return false;
    }
  };
  if (pid === undefined || !signal('SIGTERM')) return;
  for (let tries = 0; tries < 40 && signal(0); tries++) await sleep(50);
  signal('SIGKILL');
  await exited;
}

async function answers(url) {
  return fetch(url).then(
    (response) => response.ok || response.status === 403,
    () => false,
  );
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
