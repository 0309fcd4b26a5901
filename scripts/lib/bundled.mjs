import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildSync } from 'esbuild';

/**
 * Bundles a TypeScript program and runs it with this process' arguments: bundled code is what users run, and much
 * faster than tsx's. `beside`: files that the program looks for in its own folder. Returns the exit status.
 */
export function runBundled(entry, { external = [], beside = [] } = {}) {
  // A package that is not bundled is found only from inside the repository.
  const parent = external.length > 0 ? path.resolve('node_modules/.cache') : tmpdir();
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(path.join(parent, 'snp-bundled-'));
  try {
    const outfile = path.join(folder, 'program.mjs');
    buildSync({ entryPoints: [entry], bundle: true, platform: 'node', format: 'esm', outfile, external });
    for (const file of beside) copyFileSync(file, path.join(folder, path.basename(file)));
    return spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
