import { sha256 } from '@noble/hashes/sha2.js';

/** Deterministic bytes for keys, nonces and report ids: SHA-256 of seed, label and a counter. */
export interface SeededRandom {
  /** New bytes at each call. */
  bytes(label: string, length: number): Uint8Array;
  /** The same bytes for the same label, whatever was drawn before: what is burnt into a chip. */
  fixed(label: string, length: number): Uint8Array;
}

export function seededRandom(seed: string): SeededRandom {
  let counter = 0;
  const expand = (prefix: string, length: number, next: () => number): Uint8Array => {
    const out = new Uint8Array(length);
    for (let offset = 0; offset < length; offset += 32) {
      const block = sha256(utf8(`${prefix}\0${next()}`));
      out.set(block.subarray(0, Math.min(32, length - offset)), offset);
    }
    return out;
  };
  return {
    bytes: (label, length) => expand(`${seed}\0${label}`, length, () => counter++),
    fixed: (label, length) => {
      let block = 0;
      return expand(`${seed}\0fixed\0${label}`, length, () => block++);
    },
  };
}

function utf8(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const ch of text) {
    const c = ch.codePointAt(0) ?? 0;
    if (c < 0x80) bytes.push(c);
    else if (c < 0x800) bytes.push(0xc0 | (c >> 6), 0x80 | (c & 63));
    else if (c < 0x1_0000) bytes.push(0xe0 | (c >> 12), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63));
    else bytes.push(0xf0 | (c >> 18), 0x80 | ((c >> 12) & 63), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63));
  }
  return Uint8Array.from(bytes);
}
