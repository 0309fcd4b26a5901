// Bundles and runs the guest CPU's benchmark: bundled code is what users run, and much faster than tsx's.
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';

const outfile = join(mkdtempSync(join(tmpdir(), 'bench-cpu-')), 'bench.mjs');
buildSync({ entryPoints: ['test/bench/cpu/bench.ts'], bundle: true, platform: 'node', format: 'esm', outfile });
process.exit(spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1);
