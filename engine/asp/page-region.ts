import { PAGE_SIZE, type Pfn, pfn } from '../address.js';
import { copyBytes } from '../bytes.js';
import { readPage, type SystemMemory, writePage } from '../memory/system-memory.js';

/** Whole pages in a row, through a key: what the page commands of the firmware move. */

/** A copy of `count` pages. */
export function readRegion(memory: SystemMemory, first: Pfn, count: number, key: number): Uint8Array {
  const out = new Uint8Array(count * PAGE_SIZE);
  for (let i = 0; i < count; i++) out.set(readPage(memory, pfn(first + i), key), i * PAGE_SIZE);
  return out;
}

export function writeRegion(memory: SystemMemory, first: Pfn, bytes: Uint8Array, key: number): void {
  for (let at = 0; at < bytes.length; at += PAGE_SIZE) {
    const page = copyBytes(bytes, at, at + PAGE_SIZE);
    writePage(memory, pfn(first + at / PAGE_SIZE), { bytes: page, frozen: false }, key);
  }
}
