/**
 * Drives the real workbench by keyboard: the packaged extension in the code-server host, on a copy of samples/.
 *   node test/workbench/run.mjs [--vsix FILE] [--result FILE] [--only WORD]
 * Screenshots go to out/screenshots/. Exit status 0 passed, 1 failed, 77 the host cannot be had here.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findChromium, HOW_TO_GET_CHROMIUM } from '../vscode-host/chromium.mjs';
import { startServer } from '../vscode-host/server.mjs';
import { writeQuietSettings } from '../vscode-host/settings.mjs';
import { ensureHost } from '../vscode-host/setup.mjs';
import { openWorkbench } from '../vscode-host/workbench.mjs';
import * as brokenLaunches from './broken-launches.mjs';
import { Driver } from './driver.mjs';
import * as firstMinutes from './first-minutes.mjs';
import * as guests from './guests.mjs';
import * as trust from './trust.mjs';

const NOT_AVAILABLE = 77;
const root = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({
  options: { vsix: { type: 'string' }, result: { type: 'string' }, only: { type: 'string' } },
});

process.exit(await main());

async function main() {
  if (!findChromium()) {
    console.log(`no Chromium to drive: ${HOW_TO_GET_CHROMIUM}`);
    return NOT_AVAILABLE;
  }
  let host;
  try {
    host = await ensureHost((line) => console.log(line));
  } catch (error) {
    console.log(error instanceof Error ? error.message : error);
    return NOT_AVAILABLE;
  }
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const scenario of [firstMinutes, brokenLaunches, guests, trust].filter(({ title }) =>
    title.includes(values.only ?? ''),
  )) {
    console.log(`\n  ${scenario.title}`);
    const { passed, failed } = await runScenario(scenario, host);
    total.passed += passed;
    total.failed += failed;
  }
  if (values.result) await writeFile(values.result, JSON.stringify(total));
  return total.failed === 0 ? 0 : 1;
}

/** One scenario in a workbench of its own. */
async function runScenario(scenario, host) {
  const temporary = await mkdtemp(path.join(tmpdir(), 'snp-workbench-'));
  let server;
  let workbench;
  try {
    const folders = await prepare(scenario, host, temporary);
    server = await startServer({ host, ...folders, trust: scenario.trust, development: false });
    const { workspace: folder } = folders;
    workbench = await openWorkbench({ server, folder, viewport: { width: 1440, height: 900 }, onConsole: () => {} });
    return await play(scenario.steps, new Driver(workbench.page, path.join(root, 'out', 'screenshots')), folder);
  } catch (error) {
    console.error(error);
    return { passed: 0, failed: Object.keys(scenario.steps).length };
  } finally {
    await workbench?.close().catch(() => {});
    await server?.stop();
    await rm(temporary, { recursive: true, force: true, maxRetries: 5 }).catch(() => {});
  }
}

/** Installs the package and copies the sample workspace, so that the scenario may change files. */
async function prepare(scenario, host, temporary) {
  const userData = path.join(temporary, 'data');
  const extensions = path.join(temporary, 'extensions');
  const workspace = path.join(temporary, 'samples');
  await cp(path.join(root, 'samples'), workspace, { recursive: true });
  await scenario.prepare?.(workspace);
  await writeQuietSettings(userData, {
    'workbench.colorTheme': 'Default Dark Modern',
    'security.workspace.trust.enabled': scenario.trust,
  });
  const vsix = values.vsix ?? (await newestVsix());
  const install = [host.serverMain, '--extensions-dir', extensions, '--install-extension', path.resolve(vsix)];
  const [code] = await once(spawn(host.node, install, { stdio: ['ignore', 'ignore', 'inherit'] }), 'close');
  if (code !== 0) throw new Error(`${vsix} could not be installed`);
  await mkdir(path.join(root, 'out', 'screenshots'), { recursive: true });
  return { userData, extensions, workspace, temporary };
}

async function newestVsix() {
  const name = (await readdir(root)).find((file) => file.endsWith('.vsix'));
  if (!name) throw new Error('there is no .vsix: run npm run package first');
  return path.join(root, name);
}

/** Each step builds on the one before: the first failure ends the scenario, and what follows has failed too. */
async function play(steps, driver, workspace) {
  const counts = { passed: 0, failed: 0 };
  for (const [title, body] of Object.entries(steps)) {
    try {
      await body(driver, { workspace, root });
      counts.passed++;
      console.log(`    ✔ ${title}`);
    } catch (error) {
      counts.failed = Object.keys(steps).length - counts.passed;
      await driver.picture('failure').catch(() => {});
      console.log(`    ✘ ${title} (out/screenshots/failure.png)\n${error instanceof Error ? error.stack : error}`);
      break;
    }
  }
  return counts;
}
