import { ENCODINGS } from '../../engine/cpu/encodings/table.js';
import { CLAIMED } from './generate.js';
import { oracleOptions } from './random.js';
import { compareWithNative } from './user-mode.js';

/** Entry of scripts/cpu-oracle.mjs. `--rows=REGEX` takes only rows whose text matches. */

const { seed, cases } = oracleOptions(1_000_000);
const pattern = process.argv.find((a) => a.startsWith('--rows='))?.slice(7);
const rows = pattern === undefined ? CLAIMED : CLAIMED.filter((row) => new RegExp(pattern).test(row.text));
const start = performance.now();
const { wrong, executed } = compareWithNative(seed, cases, 20, rows);
for (const text of wrong) console.log(`${text}\n`);
const seconds = (performance.now() - start) / 1000;
const instructions = [...executed.values()].reduce((sum, n) => sum + n, 0);
console.log(
  `${cases} cases, ${instructions} instructions in ${seconds.toFixed(0)} s, seed ${seed}: ${wrong.length} wrong`,
);
const never = rows.filter((row) => !executed.has(row.id));
console.log(`${rows.length} of ${ENCODINGS.length} rows claimed for user mode, ${never.length} of them never executed`);
for (const row of never) console.log(`  ${row.text}`);
process.exitCode = wrong.length > 0 ? 1 : 0;
