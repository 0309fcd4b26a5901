/** Child processes, on Linux, macOS and Windows. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's folder. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Runs a program with our terminal and waits for it.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<number>} exit status; 1 for a signal
 */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    // A shell (needed for .cmd files on Windows) splits at blanks.
    const quote = options.shell ? (text) => `"${text}"` : (text) => text;
    const child = spawn(quote(command), args.map(quote), { cwd: ROOT, stdio: 'inherit', ...options });
    child.once('error', (error) => reject(new Error(`cannot start ${path.basename(command)}: ${error.message}`)));
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/** Runs a script with the Node that runs us. */
export function runNode(args, options) {
  return run(process.execPath, args, options);
}

/** The script behind an installed package's command: without the shell wrapper, which differs by system. */
export function binary(packagePath) {
  return path.join(ROOT, 'node_modules', packagePath);
}

/** npm, as the script that started us if there is one: Windows has no npm program that can be spawned. */
export function runNpm(args, options) {
  const script = process.env.npm_execpath;
  if (script && existsSync(script) && /\.c?js$/.test(script)) return runNode([script, ...args], options);
  return run('npm', args, { shell: process.platform === 'win32', ...options });
}
