import { ENCODINGS } from '../../engine/cpu/encodings/table.js';
import { firmwareImages } from '../support/firmware.js';
import type { Tally } from './compare-decoders.js';
import { compareFirmware } from './compare-firmware.js';
import { compareRandom } from './compare-random.js';
import { oracleOptions } from './random.js';

/** Entry of scripts/cpu-decoder.mjs. */

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;
const byCount = (map: ReadonlyMap<string, number>): [string, number][] => [...map].sort((a, b) => b[1] - a[1]);

function report({ places, instructions, invalid, vectorExtensions, ...tally }: Tally): void {
  for (const text of tally.wrong) console.log(text);
  console.log(
    `  ${places} places: ${instructions} instructions (${percent(instructions, places)}), ${invalid} invalid`,
  );
  console.log(`  ${vectorExtensions} VEX, EVEX or XOP encodings, which the engine does not have`);
  const makers = byCount(tally.otherMakers).map(([name, n]) => `${name} ${n}`);
  if (makers.length > 0) console.log(`  instructions of other makers, #UD for the engine: ${makers.join(', ')}`);
  for (const [reason, n] of byCount(tally.differences)) console.log(`  ${n} times: ${reason}`);
  console.log(`  ${tally.disagreements} disagreements`);
}

function timed<T extends Tally>(run: () => T): T {
  const start = performance.now();
  const tally = run();
  report(tally);
  console.log(`  ${((performance.now() - start) / 1000).toFixed(0)} s`);
  if (tally.disagreements > 0) process.exitCode = 1;
  return tally;
}

const { seed, cases } = oracleOptions(10_000_000);
const images = firmwareImages();
for (const everyOffset of [false, true]) {
  console.log(`Code in ${images.map(({ name }) => name).join(', ')}, ${everyOffset ? 'at every offset' : 'linear'}:`);
  const found = timed(() => compareFirmware(images, everyOffset));
  console.log(`  ${found.modules} modules, ${found.differentModules} different, ${found.codeBytes} bytes of code`);
  console.log(`  and ${found.rawBytes} bytes around the reset vectors, in three code sizes at every offset`);
}
console.log(`${cases} random strings in three code sizes, seed ${seed}:`);
const { rows } = timed(() => compareRandom(seed, cases, [64, 32, 16]));
const never = ENCODINGS.filter((row) => !rows.has(row.id));
console.log(`  ${ENCODINGS.length} rows in the table, ${never.length} did not occur`);
for (const row of never) console.log(`    ${row.text}`);
