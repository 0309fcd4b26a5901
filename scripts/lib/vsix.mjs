/** Makes the .vsix and holds it to its limits. */
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { ROOT } from './processes.mjs';
import { say } from './say.mjs';

/** Three programs with the engine in each (`npm start` does not minify them), a disassembler, the guests with symbols. */
const MAX_BYTES = 4 * 1024 * 1024;
/** Code, pictures, schemas. More would mean that something has slipped in that is not bundled. */
const MAX_FILES = 60;
/** The sample workspace is many small files: source, image, ELF and manifest of each guest. */
const MAX_SAMPLE_BYTES = 128 * 1024;
const NEEDED = [
  'dist/extension.js',
  'dist/language-client.js',
  'dist/server.js',
  'dist/debug-adapter.js',
  'dist/iced_x86_bg.wasm',
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
  const product = files.filter((file) => !file.startsWith('samples/'));
  const samples = await Promise.all(
    files
      .filter((file) => file.startsWith('samples/'))
      .map(async (file) => ({ file, size: (await stat(path.join(ROOT, file))).size })),
  );
  const faults = [
    size > MAX_BYTES ? `it has ${size} bytes, more than ${MAX_BYTES}` : '',
    product.length > MAX_FILES ? `it has ${product.length} files beside the samples, more than ${MAX_FILES}` : '',
    ...samples.filter(({ size }) => size > MAX_SAMPLE_BYTES).map(({ file, size }) => `${file} has ${size} bytes`),
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
