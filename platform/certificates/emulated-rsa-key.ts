import { constants, createHash, createPrivateKey, createPublicKey, type KeyObject, privateEncrypt } from 'node:crypto';
import { EMULATED_RSA_PRIMES } from './emulated-rsa-primes.js';

/** The private keys of the emulated ARK, ASK and ASVK, and RSASSA-PSS signatures that come out the same each time. */

export type EmulatedAuthority = keyof typeof EMULATED_RSA_PRIMES;

const EXPONENT = 65537n;
const MODULUS_SIZE = 512;
const HASH_SIZE = 48;
/** AMD's certificates have a salt as long as the hash. */
export const SALT_SIZE = 48;

function modInverse(a: bigint, m: bigint): bigint {
  let [r0, r1] = [m, a % m];
  let [t0, t1] = [0n, 1n];
  while (r1 !== 0n) {
    const quotient = r0 / r1;
    [r0, r1] = [r1, r0 - quotient * r1];
    [t0, t1] = [t1, t0 - quotient * t1];
  }
  return t0 < 0n ? t0 + m : t0;
}

const base64 = (n: bigint): string => {
  const digits = n.toString(16);
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex').toString('base64url');
};

const keys = new Map<EmulatedAuthority, KeyObject>();

export function emulatedRsaKey(name: EmulatedAuthority): KeyObject {
  const known = keys.get(name);
  if (known) return known;
  const p = BigInt(`0x${EMULATED_RSA_PRIMES[name].p}`);
  const q = BigInt(`0x${EMULATED_RSA_PRIMES[name].q}`);
  const d = modInverse(EXPONENT, (p - 1n) * (q - 1n));
  const key = createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'RSA',
      n: base64(p * q),
      e: base64(EXPONENT),
      d: base64(d),
      p: base64(p),
      q: base64(q),
      dp: base64(d % (p - 1n)),
      dq: base64(d % (q - 1n)),
      qi: base64(modInverse(q, p)),
    },
  });
  keys.set(name, key);
  return key;
}

/** SubjectPublicKeyInfo in DER. */
export function emulatedRsaSpki(name: EmulatedAuthority): Uint8Array {
  return new Uint8Array(createPublicKey(emulatedRsaKey(name)).export({ format: 'der', type: 'spki' }));
}

const sha384 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha384');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** MGF1 with SHA-384. RFC 8017, B.2.1. */
function mask(seed: Uint8Array, length: number): Buffer {
  const blocks: Buffer[] = [];
  for (let counter = 0; blocks.length * HASH_SIZE < length; counter++) {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(counter);
    blocks.push(sha384(seed, number));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

/**
 * RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes. RFC 8017, 9.1.1. The salt is made of the message,
 * because a certificate must not differ from one run to the next; Node.js would draw it.
 */
export function signPss(name: EmulatedAuthority, message: Uint8Array): Uint8Array {
  const digest = sha384(message);
  const salt = sha384(Buffer.from('emulated certificate salt'), digest);
  const h = sha384(Buffer.alloc(8), digest, salt);
  const db = Buffer.concat([
    Buffer.alloc(MODULUS_SIZE - 2 * HASH_SIZE - 2 - SALT_SIZE + HASH_SIZE),
    Buffer.of(1),
    salt,
  ]);
  const dbMask = mask(h, db.length);
  for (let i = 0; i < db.length; i++) db[i] = (db[i] ?? 0) ^ (dbMask[i] ?? 0);
  // The modulus has 4096 bits, the message representative 4095.
  db[0] = (db[0] ?? 0) & 0x7f;
  const encoded = Buffer.concat([db, h, Buffer.of(0xbc)]);
  return new Uint8Array(privateEncrypt({ key: emulatedRsaKey(name), padding: constants.RSA_NO_PADDING }, encoded));
}
