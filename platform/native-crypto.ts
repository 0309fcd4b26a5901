/** The engine's Crypto on node:crypto. Hashes run natively; signatures stay portable, they are few. */
import nodeCrypto, { createHash } from 'node:crypto';
import { type Crypto, portableCrypto } from '../engine/crypto.js';

type OneShot = (algorithm: string, data: Uint8Array, encoding: 'buffer') => Uint8Array;

// crypto.hash() came with Node 20.12 and 21.7; it saves the hash object, which counts for 4 KiB pages.
const oneShot: OneShot | undefined = (nodeCrypto as { hash?: OneShot }).hash;

function digest(algorithm: string, data: Uint8Array): Uint8Array {
  const bytes = oneShot ? oneShot(algorithm, data, 'buffer') : createHash(algorithm).update(data).digest();
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export const nativeCrypto: Crypto = {
  sha384: (data) => digest('sha384', data),
  sha256: (data) => digest('sha256', data),
  verifyP384: portableCrypto.verifyP384,
};
