import { readFileSync } from 'node:fs';
import { flatMachine } from './machine.js';

/** What it costs to decode a block for the first time, on code of the program that runs this (node). */

const BYTES = 0x40_0000;
const BATCH = 4000;

export interface FirstTouch {
  readonly blocks: number;
  readonly instructions: number;
  readonly forms: number;
  /** Microseconds for a block: in all, in the first batch of a new process, the median of batches. */
  readonly mean: number;
  readonly first: number;
  readonly median: number;
}

/** The first bytes of `.text` of an ELF file of 64 bits. */
function textOf(file: Uint8Array): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const sections = Number(view.getBigUint64(0x28, true));
  const entry = (n: number): number => sections + n * view.getUint16(0x3a, true);
  const offsetOf = (at: number): number => Number(view.getBigUint64(at + 0x18, true));
  const names = offsetOf(entry(view.getUint16(0x3e, true)));
  for (let n = 0; n < view.getUint16(0x3c, true); n++) {
    const name = names + view.getUint32(entry(n), true);
    const text = new TextDecoder().decode(file.subarray(name, name + 6));
    if (text === '.text\0') return file.subarray(offsetOf(entry(n)), offsetOf(entry(n)) + BYTES);
  }
  throw new Error('no .text');
}

/** Undefined where the program is no ELF file of x86-64. */
export function firstTouch(): FirstTouch | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const text = textOf(readFileSync(process.execPath));
  const cpu = flatMachine(BYTES);
  cpu.bytes.set(text, cpu.guestStart);
  const page = cpu.guestStart / 4096;
  const mode = { codeSize: 64, stackSize: 64, vectors: true, floats: true } as const;
  const times: number[] = [];
  let at = 0;
  while (at < text.length - 4096 && times.length < 16) {
    const start = performance.now();
    for (let n = 0; n < BATCH && at < text.length - 4096; n++) {
      const here = page + (at >> 12);
      const rip = BigInt(at);
      at += (cpu.code.find(here, rip, mode) ?? cpu.code.build(here, rip, rip, mode, () => here + 1)).bytes;
    }
    times.push(((performance.now() - start) * 1000) / BATCH);
  }
  const sorted = [...times].sort((a, b) => a - b);
  const { blocks, instructions } = cpu.code.statistics;
  return {
    blocks,
    instructions,
    forms: cpu.formCount,
    mean: times.reduce((sum, t) => sum + t, 0) / times.length,
    first: times[0] ?? 0,
    median: sorted[sorted.length >> 1] ?? 0,
  };
}
