import { PAGE_SIZE, PAGES_PER_2M, type Pfn, pfn, spaOf } from '../address.js';
import { copyBytes } from '../bytes.js';
import { type Crypto, portableCrypto } from '../crypto.js';
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
  readonly crypto: Pick<Crypto, 'aesCtr'>;
  /** Where the pages lie that the running processor works on; without one no guest has run. */
  resident?: ResidentPages;
}

/** Pages in the linear memory of the emulated processor: a guest's code reads and writes them there. */
export interface ResidentPages {
  /** Takes a page in: `content` becomes a live view of it. Undefined: no room is left. */
  admit(page: PhysicalPage): number | undefined;
  /** Bytes of the page are about to change: what was decoded from them goes. */
  written(slot: number, offset: number, length: number): void;
  /** The page is about to be used with another key: translations and decoded code go. */
  rekeyed(slot: number): void;
  release(slot: number): void;
}

export interface PhysicalPage {
  content: PageBytes;
  /** 0: plain. Otherwise the id of the memory encryption key. */
  key: number;
  /** What the host allocated it for; for views and leak reports, not architectural. */
  use: string;
  /** Page of the processor's linear memory, if the page lies there: `content` is then a view of live bytes. */
  slot: number | undefined;
}

export function createSystemMemory(
  size: number,
  firstFree: Pfn,
  crypto: Pick<Crypto, 'aesCtr'> = portableCrypto,
): SystemMemory {
  return { size, pages: new Map(), keys: new Map(), nextFree: firstFree, free: [], crypto };
}

function freshPage(use: string): PhysicalPage {
  return { content: ZERO_PAGE, key: 0, use, slot: undefined };
}

/** The host kernel's page allocator: ascending frames, freed ones first. Undefined when memory is full. */
export function allocPage(memory: SystemMemory, use: string): Pfn | undefined {
  let frame = memory.free.pop();
  if (frame === undefined) {
    if (memory.nextFree * PAGE_SIZE >= memory.size) return undefined;
    frame = memory.nextFree;
    memory.nextFree = pfn(frame + 1);
  }
  memory.pages.set(frame, freshPage(use));
  return frame;
}

/**
 * 512 frames in a row, aligned to 2 MiB: the first of them. Frames that are skipped for the alignment go to the free
 * ones. Undefined: no such run is left; single frames may be.
 */
export function allocHugePage(memory: SystemMemory, use: string): Pfn | undefined {
  const first = Math.ceil(memory.nextFree / PAGES_PER_2M) * PAGES_PER_2M;
  if ((first + PAGES_PER_2M) * PAGE_SIZE > memory.size) return undefined;
  for (let frame = first - 1; frame >= memory.nextFree; frame--) memory.free.push(pfn(frame));
  memory.nextFree = pfn(first + PAGES_PER_2M);
  for (let i = 0; i < PAGES_PER_2M; i++) memory.pages.set(pfn(first + i), freshPage(use));
  return pfn(first);
}

export function freePage(memory: SystemMemory, frame: Pfn): void {
  const slot = memory.pages.get(frame)?.slot;
  if (slot !== undefined) memory.resident?.release(slot);
  memory.pages.delete(frame);
  memory.free.push(frame);
}

function pageAt(memory: SystemMemory, frame: Pfn): PhysicalPage {
  let page = memory.pages.get(frame);
  if (!page) {
    page = freshPage('');
    memory.pages.set(frame, page);
  }
  return page;
}

/** Replaces the whole page, written through `key`. */
export function writePage(memory: SystemMemory, frame: Pfn, content: PageBytes, key = 0): void {
  const page = pageAt(memory, frame);
  const isRekeyed = page.key !== key;
  page.key = key;
  if (page.slot === undefined) {
    page.content = content;
    return;
  }
  if (isRekeyed) memory.resident?.rekeyed(page.slot);
  else memory.resident?.written(page.slot, 0, PAGE_SIZE);
  page.content.bytes.set(content.bytes);
}

/** Changes part of a page in place; the page must be readable with `key`, which it is written with. */
export function patchPage(memory: SystemMemory, frame: Pfn, offset: number, bytes: Uint8Array, key = 0): void {
  const page = pageAt(memory, frame);
  if (page.slot !== undefined && page.key === key) {
    memory.resident?.written(page.slot, offset, bytes.length);
    page.content.bytes.set(bytes, offset);
    return;
  }
  const whole = copyBytes(readPage(memory, frame, key));
  whole.set(bytes, offset);
  writePage(memory, frame, { bytes: whole, frozen: false }, key);
}

/**
 * Slot of a page for a processor that works on it with `key`. The bytes in DRAM stay what they are: a page written
 * with another key reads as noise from now on, and what is written then is written with this one.
 */
export function residentSlot(memory: SystemMemory, frame: Pfn, key: number): number | undefined {
  const page = pageAt(memory, frame);
  if (page.slot !== undefined && page.key === key) return page.slot;
  if (page.key !== key) {
    const read = readPage(memory, frame, key);
    const bytes = read === page.content.bytes ? copyBytes(read) : read;
    writePage(memory, frame, { bytes, frozen: false }, key);
  }
  page.slot ??= memory.resident?.admit(page);
  return page.slot;
}

/** The plain content and its key, for the owner of the key and for the debugger's "true" view. */
export function plainPage(memory: SystemMemory, frame: Pfn): PhysicalPage {
  return memory.pages.get(frame) ?? freshPage('');
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
  return memory.crypto.aesCtr(secret, tweak, bytes);
}
