/**
 * Hashing, encryption and signatures as a capability: the engine's default is pure TypeScript and runs anywhere; a host
 * that has a native implementation of the same functions may pass it in. Results never differ.
 */
import { ctr } from '@noble/ciphers/aes.js';
import { p384 } from '@noble/curves/nist.js';
import { sha256, sha384 } from '@noble/hashes/sha2.js';

export interface Crypto {
  /** 48 bytes. */
  sha384(data: Uint8Array): Uint8Array;
  /** 32 bytes. */
  sha256(data: Uint8Array): Uint8Array;
  /** AES-256-CTR: 32 bytes of key, a counter of 16 bytes, big-endian. Encrypts and decrypts; a new array. */
  aesCtr(key: Uint8Array, counter: Uint8Array, data: Uint8Array): Uint8Array;
  /**
   * ECDSA on P-384 over SHA-384(message). r, s, x, y: big-endian, 48 bytes. False for a point that is not on
   * the curve and for r or s out of range.
   */
  verifyP384(key: { x: Uint8Array; y: Uint8Array }, message: Uint8Array, r: Uint8Array, s: Uint8Array): boolean;
}

export const portableCrypto: Crypto = {
  sha384: (data) => sha384(data),
  sha256: (data) => sha256(data),
  aesCtr: (key, counter, data) => ctr(key, counter).encrypt(data),
  verifyP384(key, message, r, s) {
    const point = new Uint8Array(97);
    point[0] = 4;
    point.set(key.x, 1);
    point.set(key.y, 49);
    const signature = new Uint8Array(96);
    signature.set(r, 0);
    signature.set(s, 48);
    try {
      return p384.verify(signature, message, point, { prehash: true, lowS: false, format: 'compact' });
    } catch {
      return false;
    }
  },
};
