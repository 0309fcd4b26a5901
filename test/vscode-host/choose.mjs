/** Which VS Code the extension tests run in: found by trying, said in one line. */
import path from 'node:path';
import { downloadAndUnzipVSCode, resolveCliArgsFromVSCodeExecutablePath } from '@vscode/test-electron';
import { findChromium, HOW_TO_GET_CHROMIUM } from './chromium.mjs';
import { writeLauncher } from './launcher.mjs';
import { ensureHost } from './setup.mjs';

/**
 * @typedef {object} Chosen
 * @property {string} executable for `vscodeExecutablePath`
 * @property {readonly string[]} cli command line that takes --install-extension
 */

/**
 * `VSCODE_EXECUTABLE` if set; else a downloaded VS Code; else the fallback host.
 * @param {string} cache folder for what is downloaded or written
 * @param {(line: string) => void} log
 * @returns {Promise<Chosen>}
 * @throws {Error} one sentence: what is missing and how to get it
 */
export async function chooseVscode(cache, log) {
  const given = process.env.VSCODE_EXECUTABLE;
  if (given) {
    log(`VS Code: ${given} (VSCODE_EXECUTABLE)`);
    return { executable: path.resolve(given), cli: [path.resolve(given)] };
  }
  const reason = cannotShowWindows() ?? (await downloadable(cache));
  if (typeof reason === 'object') {
    log(`VS Code: downloaded, ${reason.executable}`);
    const cli = resolveCliArgsFromVSCodeExecutablePath(reason.executable, { reuseMachineInstall: true });
    return { executable: reason.executable, cli };
  }
  const browser = findChromium();
  if (!browser)
    throw new Error(`no VS Code to test in (${reason}) and no Chromium for code-server: ${HOW_TO_GET_CHROMIUM}`);
  await ensureHost(log);
  log(`VS Code: the code-server host in ${browser} (${reason})`);
  const executable = await writeLauncher(cache);
  return { executable, cli: [executable] };
}

function cannotShowWindows() {
  if (process.platform !== 'linux' || process.env.DISPLAY || process.env.WAYLAND_DISPLAY) return undefined;
  return 'no display for a desktop VS Code';
}

/** @returns {Promise<{ executable: string } | string>} the executable, or why there is none */
async function downloadable(cachePath) {
  try {
    const reporter = { report: () => {}, error: () => {} };
    return { executable: await downloadAndUnzipVSCode({ cachePath, reporter, timeout: 15_000 }) };
  } catch (error) {
    return `VS Code cannot be downloaded: ${error instanceof Error ? error.message.split('\n')[0] : error}`;
  }
}
