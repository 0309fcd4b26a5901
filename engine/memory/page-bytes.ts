import { PAGE_SIZE } from '../address.js';
import type { Crypto } from '../crypto.js';

/**
 * The plain content of one 4 KiB page. A frozen page is a view into a file that many machines may share: it is
 * never written, and its SHA-384 is remembered, so that measuring the same firmware again costs no hashing.
 */
export interface PageBytes {
  readonly bytes: Uint8Array;
  readonly frozen: boolean;
}

export const ZERO_PAGE: PageBytes = { bytes: new Uint8Array(PAGE_SIZE), frozen: true };

/** A file that was read once; its bytes never change. A new version of the file is a new object. */
export interface LoadedFile {
  /** As the manifest's reader resolved it; for messages and links. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

const filePages = new WeakMap<Uint8Array, (PageBytes | undefined)[]>();
const digests = new WeakMap<PageBytes, Uint8Array>();

/** Page `index` of a file, zero-padded past its end. The same object each time, so that digests are kept. */
export function filePage(file: Uint8Array, index: number): PageBytes {
  let pages = filePages.get(file);
  if (!pages) {
    pages = new Array<PageBytes | undefined>(Math.ceil(file.length / PAGE_SIZE));
    filePages.set(file, pages);
  }
  const known = pages[index];
  if (known) return known;
  const start = index * PAGE_SIZE;
  let bytes = file.subarray(start, start + PAGE_SIZE);
  if (bytes.length < PAGE_SIZE) {
    const padded = new Uint8Array(PAGE_SIZE);
    padded.set(bytes);
    bytes = padded;
  }
  const page: PageBytes = { bytes, frozen: true };
  pages[index] = page;
  return page;
}

/**
 * Tells the cache that `next` is a new version of `previous`: digests of pages with equal bytes are carried
 * over. Returns the number of pages that differ.
 */
export function inheritDigests(previous: Uint8Array, next: Uint8Array): number {
  const before = filePages.get(previous);
  const count = Math.ceil(next.length / PAGE_SIZE);
  const whole = Math.min(previous.length, next.length) >> 2;
  const a = words(previous, whole);
  const b = words(next, whole);
  let changed = 0;
  for (let i = 0; i < count; i++) {
    const old = before?.[i];
    const page = filePage(next, i);
    const first = i * PAGE_WORDS;
    const inViews = a !== undefined && b !== undefined && first + PAGE_WORDS <= whole;
    if (old && (inViews ? sameWords(a, b, first) : sameBytes(old.bytes, page.bytes))) {
      const digest = digests.get(old);
      if (digest) digests.set(page, digest);
    } else changed++;
  }
  return changed;
}

const PAGE_WORDS = PAGE_SIZE / 4;

/** One view for the whole file: a view for each page would cost more than the comparison. */
function words(bytes: Uint8Array, count: number): Int32Array | undefined {
  return bytes.byteOffset % 4 === 0 ? new Int32Array(bytes.buffer, bytes.byteOffset, count) : undefined;
}

function sameWords(a: Int32Array, b: Int32Array, first: number): boolean {
  for (let i = first; i < first + PAGE_WORDS; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The last page, which is padded, and files whose bytes begin anywhere in a buffer. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < PAGE_SIZE; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** SHA-384 of the 4096 bytes. */
export function pageDigest(page: PageBytes, crypto: Crypto): Uint8Array {
  if (!page.frozen) return crypto.sha384(page.bytes);
  let digest = digests.get(page);
  if (!digest) {
    digest = crypto.sha384(page.bytes);
    digests.set(page, digest);
  }
  return digest;
}
