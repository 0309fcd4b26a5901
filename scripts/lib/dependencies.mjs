/** Installs the npm packages if they are missing or other than the lock file says. Needs nothing but Node. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { ROOT, runNpm } from './processes.mjs';
import { say } from './say.mjs';

const OLDEST_NODE = [20, 19];

export async function ensureDependencies() {
  checkNode();
  const wanted = await packages('package-lock.json');
  const installed = await packages(path.join('node_modules', '.package-lock.json'));
  if (installed && wanted && isComplete(wanted, installed)) return;
  say(installed ? 'updating the npm packages (npm install)' : 'installing the npm packages (npm ci; the first time)');
  const status = await runNpm([installed ? 'install' : 'ci', '--no-audit', '--no-fund', '--loglevel=error']);
  if (status !== 0) throw new Error('npm could not install the packages: see its message above.');
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldMajor, oldMinor] = OLDEST_NODE;
  if (major > oldMajor || (major === oldMajor && minor >= oldMinor)) return;
  throw new Error(`Node ${OLDEST_NODE.join('.')} or newer is needed; this is ${process.versions.node}.`);
}

async function packages(file) {
  try {
    return JSON.parse(await readFile(path.join(ROOT, file), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Optional packages are those of other systems, mostly. */
function isComplete(wanted, installed) {
  return Object.entries(wanted).every(
    ([name, { version, optional }]) => name === '' || optional || installed[name]?.version === version,
  );
}
