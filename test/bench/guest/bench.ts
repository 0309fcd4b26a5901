import { spawnSync } from 'node:child_process';
import { benchCosts } from './costs.js';
import { buildImages } from './images.js';
import { benchKernels } from './kernels.js';
import { benchProcesses } from './processes.js';
import { printRows, type Row } from './row.js';

/**
 * Speed and memory of a guest that runs: launched by the engine, all checks of SNP on, breakpoints set, events drawn
 * from the launch one by one. Needs gcc and binutils for x86-64. `node scripts/bench-guest.mjs`.
 */

const TOUCHED = 256 << 20;

async function main([cli]: readonly string[]): Promise<void> {
  if (cli === undefined) throw new Error('the bundled command line is missing');
  if (spawnSync('gcc', ['-dumpmachine'], { encoding: 'utf8' }).stdout?.startsWith('x86_64') !== true) {
    console.log('(no gcc for x86-64 here: speed of guests not measured)');
    return;
  }
  const images = buildImages(TOUCHED);
  try {
    const rows: Row[] = [
      ...(await benchKernels(images)),
      ...benchCosts(images),
      ...benchProcesses(cli, images, TOUCHED),
    ];
    console.log('');
    printRows(rows);
    if (rows.some((row) => row.met === false)) process.exitCode = 1;
  } finally {
    images.remove();
  }
}

void main(process.argv.slice(2));
