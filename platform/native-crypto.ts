/** The engine's Crypto on node:crypto. Hashes and AES run natively; signatures stay portable, they are few. */
import nodeCrypto, { type Cipher, createCipheriv, createHash } from 'node:crypto';
import { type Crypto, portableCrypto } from '../engine/crypto.js';

type OneShot = (algorithm: string, data: Uint8Array, encoding: 'buffer') => Uint8Array;

// crypto.hash() came with Node 20.12 and 21.7; it saves the hash object, which counts for 4 KiB pages.
const oneShot: OneShot | undefined = (nodeCrypto as { hash?: OneShot }).hash;

function digest(algorithm: string, data: Uint8Array): Uint8Array {
  return plain(oneShot ? oneShot(algorithm, data, 'buffer') : createHash(algorithm).update(data).digest());
}

/** No Buffer, whose methods differ. */
function plain({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

let last: { readonly key: Uint8Array; readonly cipher: Cipher } | undefined;

/** A cipher in ECB mode has no state, so that one serves for as long as the key stays: they are costly to make. */
function cipherOf(key: Uint8Array): Cipher {
  if (last && Buffer.compare(last.key, key) === 0) return last.cipher;
  const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  last = { key: key.slice(), cipher };
  return cipher;
}

const BLOCK = 16;
let counters = new Uint8Array(4096);

function aesCtr(key: Uint8Array, counter: Uint8Array, data: Uint8Array): Uint8Array {
  const length = Math.ceil(data.length / BLOCK) * BLOCK;
  if (counters.length < length) counters = new Uint8Array(length);
  counters.set(counter);
  for (let at = BLOCK; at < length; at += BLOCK) {
    counters.copyWithin(at, at - BLOCK, at);
    let n = at + BLOCK - 1;
    while (n > at && counters[n] === 0xff) counters[n--] = 0;
    counters[n] = (counters[n] ?? 0) + 1;
  }
  const stream = plain(cipherOf(key).update(counters.subarray(0, length))).subarray(0, data.length);
  for (let n = 0; n < stream.length; n++) stream[n] = (stream[n] ?? 0) ^ (data[n] ?? 0);
  return stream;
}

export const nativeCrypto: Crypto = {
  sha384: (data) => digest('sha384', data),
  sha256: (data) => digest('sha256', data),
  aesCtr,
  verifyP384: portableCrypto.verifyP384,
};
