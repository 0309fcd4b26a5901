import { ctr } from '@noble/ciphers/aes.js';
import { PAGE_SIZE, type Pfn, pfn, spaOf } from '../address.js';
import { type PageBytes, ZERO_PAGE } from './page-bytes.js';

/**
 * System memory as the memory controller keeps it: per 4 KiB page the plain content and the key it was written
 * with. Key 0 is no key. Ciphertext is computed only when somebody looks.
 */
export interface SystemMemory {
  /** Bytes of installed memory; page frames are 0 … size/4096 - 1. */
  readonly size: number;
  readonly pages: Map<Pfn, PhysicalPage>;
  /** 32-byte keys by key id; id 0 is never in here. */
  readonly keys: Map<number, Uint8Array>;
  /** Next frame of the host's page allocator, and frames given back. */
  nextFree: Pfn;
  readonly free: Pfn[];
}

export interface PhysicalPage {
  content: PageBytes;
  /** 0: plain. Otherwise the id of the memory encryption key. */
  key: number;
  /** What the host allocated it for; for views and leak reports, not architectural. */
  use: string;
}

export function createSystemMemory(size: number, firstFree: Pfn): SystemMemory {
  return { size, pages: new Map(), keys: new Map(), nextFree: firstFree, free: [] };
}

/** The host kernel's page allocator: ascending frames, freed ones first. Undefined when memory is full. */
export function allocPage(memory: SystemMemory, use: string): Pfn | undefined {
  let frame = memory.free.pop();
  if (frame === undefined) {
    if (memory.nextFree * PAGE_SIZE >= memory.size) return undefined;
    frame = memory.nextFree;
    memory.nextFree = pfn(frame + 1);
  }
  memory.pages.set(frame, { content: ZERO_PAGE, key: 0, use });
  return frame;
}

export function freePage(memory: SystemMemory, frame: Pfn): void {
  memory.pages.delete(frame);
  memory.free.push(frame);
}

function pageAt(memory: SystemMemory, frame: Pfn): PhysicalPage {
  let page = memory.pages.get(frame);
  if (!page) {
    page = { content: ZERO_PAGE, key: 0, use: '' };
    memory.pages.set(frame, page);
  }
  return page;
}

/** Replaces the whole page, written through `key`. */
export function writePage(memory: SystemMemory, frame: Pfn, content: PageBytes, key = 0): void {
  const page = pageAt(memory, frame);
  page.content = content;
  page.key = key;
}

/** The plain content and its key, for the owner of the key and for the debugger's "true" view. */
export function plainPage(memory: SystemMemory, frame: Pfn): PhysicalPage {
  return memory.pages.get(frame) ?? { content: ZERO_PAGE, key: 0, use: '' };
}

/**
 * What a reader with key id `key` sees: the plain content if the page was written with that key, otherwise the
 * bytes as they lie in DRAM, decrypted to noise. The host reads with key 0 and so sees ciphertext.
 */
export function readPage(memory: SystemMemory, frame: Pfn, key = 0): Uint8Array {
  const page = plainPage(memory, frame);
  if (page.key === key) return page.content.bytes;
  const stored = page.key === 0 ? page.content.bytes : crypt(memory, frame, page.key, page.content.bytes);
  return key === 0 ? stored : crypt(memory, frame, key, stored);
}

/**
 * Stands for the memory controller's AES-XEX: a stream that depends on the key and on the system physical
 * address. Encryption and decryption are the same operation; real ciphertext differs.
 */
function crypt(memory: SystemMemory, frame: Pfn, key: number, bytes: Uint8Array): Uint8Array {
  const secret = memory.keys.get(key);
  if (!secret) return bytes;
  const tweak = new Uint8Array(16);
  new DataView(tweak.buffer).setBigUint64(0, BigInt(spaOf(frame)), true);
  return ctr(secret, tweak).encrypt(bytes);
}
