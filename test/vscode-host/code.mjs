/**
 * Stands in for the `code` executable: takes the part of its command line that @vscode/test-electron uses, and runs
 * the extension tests in the fallback host, a VS Code server with its workbench in a headless Chromium.
 *
 *   node code.mjs [FOLDER] --extensionDevelopmentPath=DIR --extensionTestsPath=MODULE [--user-data-dir=D] [--extensions-dir=D]
 *   node code.mjs --install-extension=VSIX [--extensions-dir=D]
 *
 * Exit status: 0 the tests passed, 1 they failed, 2 the harness failed or ran out of time, 3 the extension host died.
 * Environment: SNP_TEST_RESULT, a file that the tests write last (without it a 0 is not believed);
 * SNP_HOST_TIMEOUT in seconds; SNP_HOST_VERBOSE.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startServer } from './server.mjs';
import { writeQuietSettings } from './settings.mjs';
import { ensureHost } from './setup.mjs';
import { openWorkbench } from './workbench.mjs';

const PASSED = 0;
const FAILED = 1;
const HARNESS = 2;
const HOST_DIED = 3;
const NORMAL_END = 'code: 0, signal: null';

process.exit(await main());

async function main() {
  const options = commandLine(process.argv.slice(2));
  const temporary = await mkdtemp(path.join(tmpdir(), 'snp-host-'));
  const userData = path.resolve(options['user-data-dir'] ?? path.join(temporary, 'data'));
  const extensions = path.resolve(options['extensions-dir'] ?? path.join(temporary, 'extensions'));
  const verbose = Boolean(process.env.SNP_HOST_VERBOSE);
  const seconds = Number(process.env.SNP_HOST_TIMEOUT ?? 300);
  let server;
  let workbench;
  try {
    await writeQuietSettings(userData);
    const host = await ensureHost((line) => console.log(line));
    if (options['install-extension']) return await installExtension(host, extensions, options['install-extension']);
    server = await startServer({
      ...{ host, temporary, userData, extensions, development: true },
      onOutput: verbose ? (text) => process.stdout.write(text) : undefined,
    });
    const ending = endOf(server, seconds);
    workbench = await openWorkbench({
      ...{ server, folder: options.folder, developmentPaths: options.developmentPaths },
      testsPath: options.extensionTestsPath,
      onConsole: (line) => console.log(line),
      ...{ onTestsEnded: ending.testsEnded, onCrash: () => ending.fail('the browser page crashed') },
    });
    const { status, reason } = await ending.promise;
    await Promise.race([workbench.drained(), sleep(3000)]);
    if (reason) console.error(`${reason}\n${tail(server.log())}`);
    return status;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return HARNESS;
  } finally {
    await Promise.race([workbench?.close().catch(() => {}), sleep(3000)]);
    await server?.stop();
    await rm(temporary, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }).catch(() => {});
  }
}

async function installExtension(host, extensions, vsix) {
  const args = [host.serverMain, '--extensions-dir', extensions, '--install-extension', path.resolve(vsix)];
  const child = spawn(host.node, args, { stdio: 'inherit' });
  const [code] = await once(child, 'close');
  return code === 0 ? PASSED : FAILED;
}

/** The first of: tests reported, server gone, signal, time is up. */
function endOf(server, seconds) {
  let settle;
  const promise = new Promise((resolve) => (settle = resolve));
  const fail = (reason) => settle({ status: HARNESS, reason });
  server.exited.then((code) => fail(`the server ended by itself with status ${code}`));
  setTimeout(() => fail(`no result after ${seconds} seconds`), seconds * 1000).unref();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => fail(`ended by ${signal}`));
  // Whoever started us may die without a word: the server, in its own process group, must not outlive us then.
  const parent = process.ppid;
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => fail('nobody reads the output'));
  // A host that dies before the tests report would otherwise be noticed only when the time is up.
  const watch = setInterval(() => {
    const bad = server.hostExits.find((end) => end !== NORMAL_END);
    if (process.ppid !== parent) fail('the test runner is gone');
    if (bad) settle({ status: HOST_DIED, reason: `the extension host died (${bad})` });
  }, 100);
  promise.then(() => clearInterval(watch));
  return { promise, fail, testsEnded: async (code) => settle(await judge(server, code)) };
}

/**
 * The workbench reports 0 even when the extension host has crashed, and a suite without tests counts as passed:
 * believe a 0 only with a normal end of the host and with the result file of the suite.
 */
async function judge(server, code) {
  for (let tries = 0; tries < 100 && server.hostExits.length === 0; tries++) await sleep(50);
  const end = server.hostExits.at(-1);
  if (end !== NORMAL_END) return { status: HOST_DIED, reason: `the extension host died (${end ?? 'no exit seen'})` };
  if (code !== 0) return { status: FAILED };
  const result = process.env.SNP_TEST_RESULT;
  if (result && !existsSync(result)) return { status: HOST_DIED, reason: 'the tests ended without a result' };
  return { status: PASSED };
}

function commandLine(args) {
  const options = { developmentPaths: [] };
  for (const arg of args) {
    const [, name, value] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === undefined) options.folder = arg;
    else if (name === 'extensionDevelopmentPath') options.developmentPaths.push(value);
    else options[name] = value ?? true;
  }
  return options;
}

function tail(text) {
  return text.split('\n').slice(-20).join('\n');
}
