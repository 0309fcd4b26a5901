// Runs the benchmark of running guests, with the command line that it measures beside it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildSync } from 'esbuild';

const folder = mkdtempSync(path.join(tmpdir(), 'snp-bench-'));
try {
  buildSync({
    entryPoints: { bench: 'test/bench/guest/bench.ts', cli: 'cli/main.ts' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    mainFields: ['module', 'main'],
    outdir: folder,
    logLevel: 'warning',
  });
  const words = [path.join(folder, 'bench.js'), path.join(folder, 'cli.js')];
  process.exitCode = spawnSync(process.execPath, words, { stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
