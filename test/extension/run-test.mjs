/**
 * Runs the compiled extension tests (out/test/extension) in a real VS Code.
 *   node test/extension/run-test.mjs [--vsix FILE] [--result FILE]
 * With --vsix they run against the installed package instead of the working tree.
 * Exit status 0 passed, 1 failed, 77 no VS Code to be had here (the last line says what to install).
 */
import { spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runTests } from '@vscode/test-electron';
import { chooseVscode } from '../vscode-host/choose.mjs';
import { writeQuietSettings } from '../vscode-host/settings.mjs';

const NOT_AVAILABLE = 77;
const root = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({ options: { vsix: { type: 'string' }, result: { type: 'string' } } });
const result = path.resolve(values.result ?? path.join(root, 'out', 'results', 'extension.json'));

process.exit(await main());

async function main() {
  let chosen;
  try {
    chosen = await chooseVscode(path.join(root, '.vscode-test'), (line) => console.log(line));
  } catch (error) {
    console.log(error instanceof Error ? error.message : error);
    return NOT_AVAILABLE;
  }
  // A short path outside the repository: sockets live in it, and nothing of an earlier run may.
  const temporary = await mkdtemp(path.join(tmpdir(), 'snp-test-'));
  try {
    await mkdir(path.dirname(result), { recursive: true });
    await rm(result, { force: true });
    await runTests(await testOptions(chosen, temporary));
    return (await sawTests()) ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    await rm(temporary, { recursive: true, force: true, maxRetries: 5 }).catch(() => {});
  }
}

async function testOptions(chosen, temporary) {
  const userData = path.join(temporary, 'data');
  const extensions = path.join(temporary, 'extensions');
  const workspace = path.join(temporary, 'workspace');
  await writeQuietSettings(userData);
  await cp(path.join(root, 'test', 'extension', 'fixtures'), workspace, { recursive: true });
  // A page of boot code: INT3 all over.
  await writeFile(path.join(workspace, 'boot.bin'), Buffer.alloc(4096, 0xcc));
  let development = root;
  if (values.vsix) {
    install(chosen.cli, path.resolve(values.vsix), userData, extensions);
    development = await emptyExtension(temporary);
  }
  return {
    vscodeExecutablePath: chosen.executable,
    extensionDevelopmentPath: development,
    extensionTestsPath: path.join(root, 'out', 'test', 'extension', 'index.js'),
    launchArgs: [workspace, `--user-data-dir=${userData}`, `--extensions-dir=${extensions}`],
    extensionTestsEnv: { SNP_TEST_RESULT: result, SNP_TEST_INSTALLED: values.vsix ? '1' : '' },
  };
}

function install([command, ...first], vsix, userData, extensions) {
  const args = [
    ...first,
    `--user-data-dir=${userData}`,
    `--extensions-dir=${extensions}`,
    `--install-extension=${vsix}`,
  ];
  const { status, stderr, stdout } = spawnSync(command, args, {
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (status !== 0) throw new Error(`the .vsix could not be installed:\n${stdout}${stderr}`);
}

/** Tests need an extension under development; an empty one leaves the field to the installed one. */
async function emptyExtension(temporary) {
  const folder = path.join(temporary, 'empty');
  await mkdir(folder);
  const manifest = { name: 'empty', publisher: 'test', version: '0.0.1', engines: { vscode: '^1.91.0' } };
  await writeFile(path.join(folder, 'package.json'), JSON.stringify(manifest));
  return folder;
}

/** A host that died or a suite that found no test must not count as passed. */
async function sawTests() {
  const { passed, failed } = JSON.parse(await readFile(result, 'utf8'));
  if (passed > 0 && failed === 0) return true;
  console.error(passed === 0 ? 'no test ran' : `${failed} failed`);
  return false;
}
