/**
 * A real VS Code where VS Code itself cannot be downloaded: the npm package code-server carries the VS Code server
 * and its workbench. This installs it, with the Node it needs, into a cache folder outside the repository.
 *
 * Run it by itself to prepare a machine: `node test/vscode-host/setup.mjs`.
 */
import { spawn } from 'node:child_process';
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CODE_SERVER, SERVER_NODE } from './versions.mjs';

/**
 * @typedef {object} VscodeHost
 * @property {string} serverMain the server's entry script
 * @property {string} node the Node binary that runs it
 */

/** Where the host lives. `SNP_VSCODE_HOST` overrides it. */
export function hostFolder() {
  if (process.env.SNP_VSCODE_HOST) return path.resolve(process.env.SNP_VSCODE_HOST);
  const cache =
    process.env.XDG_CACHE_HOME ??
    (process.platform === 'darwin' ? path.join(homedir(), 'Library', 'Caches') : path.join(homedir(), '.cache'));
  return path.join(cache, 'sev-snp-workbench', 'vscode-host', `code-server-${CODE_SERVER}-node-${SERVER_NODE}`);
}

/** The host if it is installed already. @returns {Promise<VscodeHost | undefined>} */
export async function installedHost() {
  const folder = hostFolder();
  return (await exists(path.join(folder, 'complete'))) ? describe(folder) : undefined;
}

/**
 * The host, installed now if it is missing (about a minute, 800 MB).
 * @param {(line: string) => void} log
 * @returns {Promise<VscodeHost>}
 * @throws {Error} one sentence: why it cannot be installed here.
 */
export async function ensureHost(log) {
  const found = await installedHost();
  if (found) return found;
  if (process.platform === 'win32') throw new Error('code-server does not run on Windows: install VS Code itself.');
  const folder = hostFolder();
  log(`installing code-server ${CODE_SERVER} from npm into ${folder} (once; about a minute, 800 MB)`);
  // Built beside its final place and renamed at the end: an interrupted or concurrent set-up never looks complete.
  const partial = `${folder}.partial-${process.pid}`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  try {
    await installInto(partial, log);
    await writeFile(path.join(partial, 'complete'), '');
    await rm(folder, { recursive: true, force: true });
    await rename(partial, folder);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    const settled = await installedHost();
    if (settled) return settled;
    throw error;
  }
  return describe(folder);
}

async function installInto(folder, log) {
  await writeFile(path.join(folder, 'package.json'), '{ "private": true }\n');
  const nodePackage = `node-${process.platform}-${process.arch}`;
  // No install scripts: code-server's own one would try to compile a dozen native modules.
  await npm(folder, ['install', '--ignore-scripts', `code-server@${CODE_SERVER}`, `${nodePackage}@${SERVER_NODE}`]);
  const { node } = describe(folder);
  const nodeHome = path.join(folder, 'node_modules', nodePackage);
  const env = {
    PATH: `${path.dirname(node)}${path.delimiter}${process.env.PATH ?? ''}`,
    // Headers of this Node, whatever the machine's npm configuration says.
    npm_config_nodedir: nodeHome,
  };
  const server = path.join(folder, 'node_modules', 'code-server', 'lib', 'vscode');
  // `npm ci` refuses the shrinkwrap that code-server ships.
  await npm(server, ['install', '--omit=dev', '--ignore-scripts'], env);
  try {
    // Without @vscode/spdlog output channels stay empty.
    await npm(server, ['rebuild', '@vscode/spdlog', '@vscode/native-watchdog'], env);
  } catch {
    log('could not build @vscode/spdlog (needs python3, make and a C++ compiler): output channels will stay empty');
  }
}

/** @returns {VscodeHost} */
function describe(folder) {
  const modules = path.join(folder, 'node_modules');
  return {
    serverMain: path.join(modules, 'code-server', 'lib', 'vscode', 'out', 'server-main.js'),
    node: path.join(modules, `node-${process.platform}-${process.arch}`, 'bin', 'node'),
  };
}

function npm(cwd, args, env = {}) {
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  return new Promise((resolve, reject) => {
    const child = spawn('npm', [...args, ...quiet], {
      cwd,
      env: { ...withoutNpmRunState(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(undefined);
      else reject(new Error(`npm ${args[0]} failed while installing code-server: ${output.trim().split('\n').at(-1)}`));
    });
  });
}

/** `npm test` exports its own settings (prefix, package, lifecycle) to us; they must not reach another package's npm. */
function withoutNpmRunState() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|config_(local_)?prefix)/i.test(name)),
  );
}

async function exists(file) {
  return access(file).then(
    () => true,
    () => false,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const host = await ensureHost((line) => console.log(line));
    console.log(`ready: ${host.serverMain}`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
