/** The sample workspace in VS Code in a browser, for machines without a desktop VS Code. */
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { startServer } from '../../test/vscode-host/server.mjs';
import { writeQuietSettings } from '../../test/vscode-host/settings.mjs';
import { ensureHost } from '../../test/vscode-host/setup.mjs';
import { ROOT, run } from './processes.mjs';
import { say } from './say.mjs';
import { makeVsix } from './vsix.mjs';

/**
 * Installs the extension into the host as a package (a server takes none from a folder), serves `samples` on the
 * loopback interface and stays until it is interrupted.
 * @returns {Promise<string | undefined>} why it cannot be served
 */
export async function serveSamples({ port, samples }) {
  const data = path.join(ROOT, '.vscode-test', 'browser');
  const extensions = path.join(data, 'extensions');
  let host;
  try {
    host = await ensureHost(say);
  } catch (error) {
    return `code-server cannot be installed (${error instanceof Error ? error.message : error})`;
  }
  await mkdir(extensions, { recursive: true });
  await writeQuietSettings(path.join(data, 'user'));
  say('packaging the extension and installing it into code-server');
  const vsix = await makeVsix();
  const install = ['--extensions-dir', extensions, '--install-extension', vsix, '--force'];
  if ((await run(host.node, [host.serverMain, ...install], { stdio: ['ignore', 'ignore', 'inherit'] })) !== 0) {
    return 'the extension could not be installed into code-server';
  }
  // A token, because any program and any web page of this machine can reach the port.
  const token = randomBytes(16).toString('hex');
  const server = await startServer({
    ...{ host, port, token, extensions, userData: path.join(data, 'user'), temporary: path.join(data, 'server') },
    development: false,
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void server.stop());
  say('the sample workspace is open at');
  console.log(`\n    ${server.url}/?tkn=${token}&folder=${encodeURIComponent(samples)}\n`);
  say('in any browser of this machine; Ctrl+C ends it');
  await server.exited;
  return undefined;
}
