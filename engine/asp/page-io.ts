import { PAGE_SIZE, type Pfn, pfn, pfnOf, type Spa } from '../address.js';
import { copyBytes } from '../bytes.js';
import { readPage, type SystemMemory, writePage } from '../memory/system-memory.js';

/** The firmware's plain reads and writes of host memory: no key, so that guest pages yield ciphertext. */

/** Bytes at `address`; they may cross pages. */
export function readBytes(memory: SystemMemory, address: Spa, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const frame = pfn(Math.floor((address + done) / PAGE_SIZE));
    const offset = (address + done) % PAGE_SIZE;
    const size = Math.min(PAGE_SIZE - offset, length - done);
    out.set(readPage(memory, frame).subarray(offset, offset + size), done);
    done += size;
  }
  return out;
}

/** Writes into the page that holds `address`; `data` must not cross its end. */
export function writeBytes(memory: SystemMemory, address: Spa, data: Uint8Array): void {
  const frame: Pfn = pfnOf(address);
  const bytes = copyBytes(readPage(memory, frame));
  bytes.set(data, address % PAGE_SIZE);
  writePage(memory, frame, { bytes, frozen: false });
}
