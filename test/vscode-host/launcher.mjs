/** Makes an executable that @vscode/test-electron can start in place of VS Code's own. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * A two-line shell script around code.mjs: a path with an executable bit, whatever git made of ours.
 * @param {string} folder where to write it
 * @returns {Promise<string>} its path
 */
export async function writeLauncher(folder) {
  const script = fileURLToPath(new URL('./code.mjs', import.meta.url));
  const file = path.join(folder, 'code');
  await mkdir(folder, { recursive: true });
  await writeFile(file, `#!/bin/sh\nexec "${process.execPath}" "${script}" "$@"\n`);
  await chmod(file, 0o755);
  return file;
}
