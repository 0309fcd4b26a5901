import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { GuestImages } from './images.js';
import type { Row } from './row.js';
import { manifestOf } from './watch.js';

const LIMIT = 400;
const HELLO = 'samples/guests/hello';

/** Prints the most memory that the process has had, in KiB. The kernel's own figure for a child counts its parent, too. */
const PRELOAD = `process.on('exit', () => {
  const { readFileSync, writeSync } = require('node:fs');
  let most = process.resourceUsage().maxRSS;
  try { most = Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1]); } catch {}
  writeSync(2, '\\nmost memory: ' + most);
});`;

/** The bundled command line `cli` in processes of its own: memory, and time from start to end. */
export function benchProcesses(cli: string, images: GuestImages, touchedBytes: number): Row[] {
  const folder = mkdtempSync(join(tmpdir(), 'snp-bench-processes-'));
  try {
    const preload = join(folder, 'preload.cjs');
    writeFileSync(preload, PRELOAD);
    const megabytes = (image: string): number => {
      const manifest = join(folder, 'guest.snp.yaml');
      writeFileSync(manifest, manifestOf(resolve(image), '512MiB'));
      const { stderr, stdout, status } = run(['--require', preload, cli, 'launch', manifest]);
      if (status !== 0) throw new Error(`${image} ended with ${status}: ${stdout}${stderr}`);
      return Number(/most memory: (\d+)/.exec(stderr)?.[1]) / 1024;
    };
    const memory = (what: string, most: number): Row => ({
      what: `memory of the command line, guest of 512 MiB, ${what}`,
      result: `${most.toFixed(0)} MiB`,
      target: `< ${LIMIT} MB`,
      met: most * 1.048_576 < LIMIT,
    });
    return [
      memory('hello', megabytes(`${HELLO}.fd`)),
      memory(`${touchedBytes >> 20} MiB of it written`, megabytes(images.touch)),
      startToEnd(cli),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function run(words: readonly string[]) {
  return spawnSync(process.execPath, words, { encoding: 'utf8', maxBuffer: 1 << 28 });
}

function startToEnd(cli: string): Row {
  const best = (words: readonly string[]): number => {
    const times = Array.from({ length: 5 }, () => {
      const start = performance.now();
      const { status, stderr } = run(words);
      if (status !== 0) throw new Error(stderr);
      return performance.now() - start;
    });
    return Math.min(...times);
  };
  const hello = best([cli, 'launch', `${HELLO}.snp.yaml`]);
  const nothing = best(['-e', '0']);
  return {
    what: 'hello from process start to end',
    result: `${hello.toFixed(0)} ms = ${(hello / nothing).toFixed(1)} × a Node.js process that does nothing (${nothing.toFixed(0)} ms)`,
    target: '',
    met: undefined,
  };
}
