/** Makes the .vsix and holds it to its limits. */
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { ROOT } from './processes.mjs';
import { say } from './say.mjs';

const MAX_BYTES = 2 * 1024 * 1024;
const MAX_FILES = 120;
const NEEDED = [
  'dist/extension.js',
  'dist/language-client.js',
  'dist/server.js',
  'dist/debug-adapter.js',
  'dist/cli.js',
];

/**
 * Packages what is in dist/.
 * @returns {Promise<string>} path of the .vsix
 * @throws {Error} when it is too large, has a native module, or lacks a file
 */
export async function makeVsix() {
  const require = createRequire(import.meta.url);
  const { name, version } = require(path.join(ROOT, 'package.json'));
  const { createVSIX, listFiles, PackageManager } = require('@vscode/vsce');
  const vsix = path.join(ROOT, `${name}-${version}.vsix`);
  // All code is bundled: no package of node_modules goes along.
  // The keys of the ID-block sample are meant to be public; any other key file is refused below.
  await createVSIX({ cwd: ROOT, packagePath: vsix, dependencies: false, allowPackageSecrets: ['privatekey'] });
  const files = await listFiles({ cwd: ROOT, packageManager: PackageManager.None });
  const { size } = await stat(vsix);
  const faults = [
    size > MAX_BYTES ? `it has ${size} bytes, more than ${MAX_BYTES}` : '',
    files.length > MAX_FILES ? `it has ${files.length} files, more than ${MAX_FILES}` : '',
    ...files.filter((file) => /\.(node|so|dll|dylib)$/.test(file)).map((file) => `${file} is native code`),
    ...files
      .filter((file) => /\.(pem|key)$/.test(file) && !file.startsWith('samples/'))
      .map((file) => `${file} is a key`),
    ...NEEDED.filter((file) => !files.includes(file)).map((file) => `${file} is missing`),
  ].filter((fault) => fault !== '');
  if (faults.length > 0) throw new Error(`the .vsix is not fit to ship: ${faults.join('; ')}.`);
  say(`${path.basename(vsix)}: ${files.length} files, ${(size / 1024).toFixed(0)} KiB`);
  return vsix;
}
