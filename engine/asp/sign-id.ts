import { p384 } from '@noble/curves/nist.js';
import { encodeIdAuth, encodePublicKey, type P384Point, type P384Signature } from './id-auth.js';

/** Making ID authentication pages: what a guest owner's tool does, not the firmware. */

/** Public key of a 48-byte big-endian private key. */
export function publicKeyP384(privateKey: Uint8Array): P384Point {
  const point = p384.getPublicKey(privateKey, false);
  return { x: point.slice(1, 49), y: point.slice(49, 97) };
}

/** Deterministic (RFC 6979) ECDSA P-384 over SHA-384(message). */
export function signP384(privateKey: Uint8Array, message: Uint8Array): P384Signature {
  const compact = p384.sign(message, privateKey, { prehash: true, lowS: false, format: 'compact' });
  return { r: compact.slice(0, 48), s: compact.slice(48, 96) };
}

/** The ID authentication page for a 96-byte ID block. Private keys: 48 bytes, big-endian. */
export function signIdBlock(idBlock: Uint8Array, idKey: Uint8Array, authorKey?: Uint8Array): Uint8Array {
  const point = publicKeyP384(idKey);
  const author = authorKey && {
    key: publicKeyP384(authorKey),
    signature: signP384(authorKey, encodePublicKey(point)),
  };
  return encodeIdAuth({ idBlockSignature: signP384(idKey, idBlock), idKey: point, ...(author ? { author } : {}) });
}
