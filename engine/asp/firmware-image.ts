import { p384 } from '@noble/curves/nist.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha384 } from '@noble/hashes/sha2.js';
import { copyBytes, view } from '../bytes.js';
import type { Crypto } from '../crypto.js';
import { publicKeyP384, signP384 } from './sign-id.js';
import type { FirmwareRevision } from './state.js';

/**
 * Images for SNP_DOWNLOAD_FIRMWARE_EX in a format of the emulator: a header that is signed, without code. AMD's images
 * are not read. The signing key follows from a public label: everybody can make an image.
 */

export const FIRMWARE_IMAGE_SIZE = 0xa0;
const SIGNED_SIZE = 0x40;
const MAGIC = 'EMULFW01';

export interface FirmwareImage extends FirmwareRevision {
  /** The image cannot be taken over while SNP is initialised. */
  readonly needsShutdown?: boolean;
  /** How installing it ends: `refused` leaves the old firmware, `half-way` leaves none. */
  readonly failure?: 'refused' | 'half-way';
}

const FLAG = { NEEDS_SHUTDOWN: 1, REFUSED: 2, HALF_WAY: 4 } as const;

function signingKey(): Uint8Array {
  const label = Uint8Array.from('emulated firmware signing key', (c) => c.charCodeAt(0));
  return p384.utils.randomSecretKey(hkdf(sha384, label, undefined, undefined, 72));
}

export function encodeFirmwareImage(image: FirmwareImage): Uint8Array {
  const bytes = new Uint8Array(FIRMWARE_IMAGE_SIZE);
  bytes.set(Uint8Array.from(MAGIC, (c) => c.charCodeAt(0)));
  bytes.set([1, image.minor, image.build, image.svn], 0x08);
  const flags =
    (image.needsShutdown ? FLAG.NEEDS_SHUTDOWN : 0) |
    (image.failure === 'refused' ? FLAG.REFUSED : 0) |
    (image.failure === 'half-way' ? FLAG.HALF_WAY : 0);
  view(bytes).setUint32(0x0c, flags, true);
  const { r, s } = signP384(signingKey(), bytes.subarray(0, SIGNED_SIZE));
  bytes.set(r, SIGNED_SIZE);
  bytes.set(s, SIGNED_SIZE + 48);
  return bytes;
}

/** Undefined: not an image, or its signature is wrong. Needs FIRMWARE_IMAGE_SIZE bytes. */
export function openFirmwareImage(bytes: Uint8Array, crypto: Crypto): FirmwareImage | undefined {
  const [r, s] = [
    copyBytes(bytes, SIGNED_SIZE, SIGNED_SIZE + 48),
    copyBytes(bytes, SIGNED_SIZE + 48, SIGNED_SIZE + 96),
  ];
  if (![...MAGIC].every((c, i) => bytes[i] === c.charCodeAt(0))) return undefined;
  if (!crypto.verifyP384(publicKeyP384(signingKey()), bytes.subarray(0, SIGNED_SIZE), r, s)) return undefined;
  const [, minor = 0, build = 0, svn = 0] = bytes.subarray(0x08, 0x0c);
  const flags = view(bytes).getUint32(0x0c, true);
  return {
    minor,
    build,
    svn,
    needsShutdown: (flags & FLAG.NEEDS_SHUTDOWN) !== 0,
    ...(flags & FLAG.REFUSED ? { failure: 'refused' as const } : {}),
    ...(flags & FLAG.HALF_WAY ? { failure: 'half-way' as const } : {}),
  };
}
