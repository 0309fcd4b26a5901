// Full run of the guest CPU's oracle: node scripts/cpu-oracle.mjs [--seed=1] [--cases=1000000]. Bundled, because
// that is several times faster than through tsx. Prints disagreements and the rows of the table never executed.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';

const folder = mkdtempSync(join(tmpdir(), 'cpu-oracle-'));
const outfile = join(folder, 'full.mjs');
buildSync({
  entryPoints: ['test/oracle/full.ts'],
  bundle: true,
  platform: 'node',
  format: 'esm',
  outfile,
  external: ['iced-x86'],
});
copyFileSync('test/oracle/native.c', join(folder, 'native.c'));
process.exit(spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1);
