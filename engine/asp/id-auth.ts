import { copyBytes, equalBytes, isZero, toHex, view } from '../bytes.js';
import type { Crypto } from '../crypto.js';
import { defineFault, type Fault, fail, makeFault, ok, type Result } from '../fault.js';
import type { FirmwareStatusName } from '../spec/firmware-status.js';
import type { FirmwareProfile } from '../spec/versions.js';
import { status } from './command.js';
import { decodeIdBlock, ID_AUTH_SIZE, ID_BLOCK_SIZE, type IdBlock } from './id-block.js';

/** ID block and ID authentication page of SNP_LAUNCH_FINISH. AMD pub. 56860, SNP_LAUNCH_FINISH. */

const NAME = 'SNP_LAUNCH_FINISH';
const FINISH = 'AMD pub. 56860, SNP_LAUNCH_FINISH';

/** ECDSA P-384 with SHA-384: the only algorithm that the firmware knows. */
export const ALGORITHM_P384 = 1;
/** Curve of a public key: 1 was P-256. */
export const CURVE_P384 = 2;
export const PUBLIC_KEY_SIZE = 0x404;
export const SIGNATURE_SIZE = 512;

/** Offsets in the ID authentication page. */
export const ID_AUTH_LAYOUT = {
  idKeyAlgo: 0x000,
  authKeyAlgo: 0x004,
  idBlockSig: 0x040,
  idKey: 0x240,
  idKeySig: 0x680,
  authorKey: 0x880,
} as const;

/** Must be zero: start and end. */
const RESERVED = [
  { start: 0x008, end: 0x040 },
  { start: 0x644, end: 0x680 },
  { start: 0xc84, end: 0x1000 },
] as const;

/** Numbers of a signature or point: big-endian, 48 bytes each. */
export interface P384Signature {
  readonly r: Uint8Array;
  readonly s: Uint8Array;
}
export interface P384Point {
  readonly x: Uint8Array;
  readonly y: Uint8Array;
}

export interface IdAuthSignature extends P384Signature {
  /** The 72-byte fields hold numbers above 2^384, which no signature has. */
  readonly overlong: boolean;
}
export interface IdAuthKey extends P384Point {
  readonly curve: number;
  readonly overlong: boolean;
  /** The 0x404 bytes as they are hashed and signed, reserved bytes included. */
  readonly raw: Uint8Array;
}

export interface IdAuth {
  readonly idKeyAlgo: number;
  readonly authKeyAlgo: number;
  readonly idBlockSignature: IdAuthSignature;
  readonly idKey: IdAuthKey;
  readonly idKeySignature: IdAuthSignature;
  readonly authorKey: IdAuthKey;
  /** Offset of the first reserved byte that is not zero. */
  readonly reservedAt?: number;
}

const FIELD = 72;
const NUMBER = 48;

/** A 72-byte little-endian field as a 48-byte big-endian number. */
function readNumber(bytes: Uint8Array, offset: number): { value: Uint8Array; overlong: boolean } {
  return {
    value: copyBytes(bytes, offset, offset + NUMBER).reverse(),
    overlong: !isZero(bytes.subarray(offset + NUMBER, offset + FIELD)),
  };
}

function readSignature(bytes: Uint8Array, offset: number): IdAuthSignature {
  const r = readNumber(bytes, offset);
  const s = readNumber(bytes, offset + FIELD);
  return { r: r.value, s: s.value, overlong: r.overlong || s.overlong };
}

function readKey(bytes: Uint8Array, offset: number): IdAuthKey {
  const x = readNumber(bytes, offset + 4);
  const y = readNumber(bytes, offset + 4 + FIELD);
  return {
    curve: view(bytes).getUint32(offset, true),
    x: x.value,
    y: y.value,
    overlong: x.overlong || y.overlong,
    raw: copyBytes(bytes, offset, offset + PUBLIC_KEY_SIZE),
  };
}

/** Never fails; a shorter page is padded with zeros, as QEMU does, a longer one is cut. */
export function parseIdAuth(page: Uint8Array): IdAuth {
  const bytes = new Uint8Array(ID_AUTH_SIZE);
  bytes.set(page.subarray(0, ID_AUTH_SIZE));
  const v = view(bytes);
  let reservedAt: number | undefined;
  for (const { start, end } of RESERVED) {
    for (let i = start; i < end && reservedAt === undefined; i++) if (bytes[i] !== 0) reservedAt = i;
  }
  return {
    idKeyAlgo: v.getUint32(ID_AUTH_LAYOUT.idKeyAlgo, true),
    authKeyAlgo: v.getUint32(ID_AUTH_LAYOUT.authKeyAlgo, true),
    idBlockSignature: readSignature(bytes, ID_AUTH_LAYOUT.idBlockSig),
    idKey: readKey(bytes, ID_AUTH_LAYOUT.idKey),
    idKeySignature: readSignature(bytes, ID_AUTH_LAYOUT.idKeySig),
    authorKey: readKey(bytes, ID_AUTH_LAYOUT.authorKey),
    ...(reservedAt === undefined ? {} : { reservedAt }),
  };
}

/** Big-endian, at most 48 bytes, into a 72-byte little-endian field; shorter numbers lack their leading zeros. */
function writeNumber(out: Uint8Array, offset: number, number: Uint8Array): void {
  if (number.length > NUMBER) throw new RangeError('a P-384 number has at most 48 bytes');
  out.set(copyBytes(number).reverse(), offset);
}

/** The 512-byte signature structure. */
export function encodeSignature(signature: P384Signature): Uint8Array {
  const bytes = new Uint8Array(SIGNATURE_SIZE);
  writeNumber(bytes, 0, signature.r);
  writeNumber(bytes, FIELD, signature.s);
  return bytes;
}

/** The 0x404-byte public key structure; what ID_KEY_SIG signs and what the key digests hash. */
export function encodePublicKey(point: P384Point, curve: number = CURVE_P384): Uint8Array {
  const bytes = new Uint8Array(PUBLIC_KEY_SIZE);
  view(bytes).setUint32(0, curve, true);
  writeNumber(bytes, 4, point.x);
  writeNumber(bytes, 4 + FIELD, point.y);
  return bytes;
}

export interface IdAuthParts {
  /** Signature of the ID key over the 96-byte ID block. */
  readonly idBlockSignature: P384Signature;
  readonly idKey: P384Point;
  /** Author key and its signature over the 0x404-byte ID key. */
  readonly author?: { readonly key: P384Point; readonly signature: P384Signature };
  /** As other encoders write them; IGVM files carry their own. */
  readonly idKeyAlgo?: number;
  readonly authKeyAlgo?: number;
}

/** The 4096-byte ID authentication page. */
export function encodeIdAuth(parts: IdAuthParts): Uint8Array {
  const page = new Uint8Array(ID_AUTH_SIZE);
  const v = view(page);
  v.setUint32(ID_AUTH_LAYOUT.idKeyAlgo, parts.idKeyAlgo ?? ALGORITHM_P384, true);
  v.setUint32(ID_AUTH_LAYOUT.authKeyAlgo, parts.authKeyAlgo ?? (parts.author ? ALGORITHM_P384 : 0), true);
  page.set(encodeSignature(parts.idBlockSignature), ID_AUTH_LAYOUT.idBlockSig);
  page.set(encodePublicKey(parts.idKey), ID_AUTH_LAYOUT.idKey);
  if (parts.author) {
    page.set(encodeSignature(parts.author.signature), ID_AUTH_LAYOUT.idKeySig);
    page.set(encodePublicKey(parts.author.key), ID_AUTH_LAYOUT.authorKey);
  }
  return page;
}

/** A check of the ID block; all belong to one command. */
function define<O extends Record<string, string | number | bigint>>(
  check: string,
  name: FirmwareStatusName,
  text: {
    title: string;
    message: (operands: O) => string;
    why: string;
    hint: string | ((operands: O) => string);
    confirmed: boolean;
  },
) {
  return defineFault<O>({
    check: `fw-launch-finish-${check}`,
    layer: 'firmware',
    command: NAME,
    code: status(name),
    reference: FINISH,
    ...text,
  });
}

export const FINISH_ID_VERSION = define<{ version: number }>('id-block-version', 'INVALID_PARAM', {
  title: 'ID block version is not 1',
  message: (o) => `The ID block has VERSION ${o.version}; the only version is 1.`,
  why: 'The version says how the other fields are to be read. A zero often means that something else than an ID block was given.',
  hint: 'Set the u32 at offset 0x50 of the ID block to 1, and check that the file is the ID block and not the ID authentication page.',
  confirmed: true,
});

export const FINISH_ID_ALGORITHM = define<{ algorithm: number }>('id-key-algorithm', 'INVALID_PARAM', {
  title: 'Unknown ID key algorithm',
  message: (o) => `ID_KEY_ALGO is ${o.algorithm}; the firmware knows only 1, ECDSA P-384 with SHA-384.`,
  why: 'The first word of the ID authentication page names the signature algorithm.',
  hint: 'Set the u32 at offset 0 of the ID authentication page to 1.',
  confirmed: true,
});

export const FINISH_AUTH_ALGORITHM = define<{ algorithm: number }>('author-key-algorithm', 'INVALID_PARAM', {
  title: 'Unknown author key algorithm',
  message: (o) => `AUTH_KEY_EN is set, but AUTH_KEY_ALGO is ${o.algorithm} and not 1, ECDSA P-384 with SHA-384.`,
  why: 'With AUTH_KEY_EN the page must also hold an author key and its signature over the ID key. A zero algorithm usually means that there is none.',
  hint: (o) =>
    o.algorithm === 0
      ? 'Remove author-key (AUTH_KEY_EN), or make an ID authentication page with an author key.'
      : 'Set the u32 at offset 4 of the ID authentication page to 1.',
  confirmed: true,
});

export const FINISH_RESERVED = define<{ offset: string }>('id-auth-reserved', 'INVALID_PARAM', {
  title: 'Reserved bytes of the ID authentication page are not zero',
  message: (o) => `The byte at offset ${o.offset} of the ID authentication page must be zero.`,
  why: 'Bytes 0x008…0x03f, 0x644…0x67f and 0xc84…0xfff are reserved. Something there usually means that a field was written at the wrong offset.',
  hint: 'Compare the layout: ID_BLOCK_SIG at 0x40, ID_KEY at 0x240, ID_KEY_SIG at 0x680, AUTHOR_KEY at 0x880.',
  confirmed: false,
});

export const FINISH_AUTHOR_REQUIRED = define<{ abi: string }>('author-key-required', 'INVALID_PARAM', {
  title: 'Old firmware wants an author key',
  message: (o) => `Firmware ABI ${o.abi} answers INVALID_PARAM to an ID block without author key.`,
  why: 'The specification makes the author key optional, but early firmware refused a launch without it. Which versions is not confirmed.',
  hint: 'Update the firmware, or sign the ID key with an author key and set AUTH_KEY_EN.',
  confirmed: false,
});

export const FINISH_MEASUREMENT = define<{ expected: string; actual: string }>('launch-digest', 'BAD_MEASUREMENT', {
  title: 'Launch digest differs from the ID block',
  message: (o) => `The ID block expects launch digest ${o.expected}, but this launch measures ${o.actual}.`,
  why: 'The guest owner signed the ID block for one exact image. Another firmware file, number of vCPUs, CPU model, set of SEV features or kernel gives another digest.',
  hint: 'Recompute the digest for this launch and sign a new ID block, or launch what the ID block was made for.',
  confirmed: true,
});

export const FINISH_POLICY = define<{ expected: bigint; actual: bigint }>('policy', 'POLICY_FAILURE', {
  title: 'Policy differs from the ID block',
  message: (o) =>
    `The ID block was signed for policy 0x${o.expected.toString(16)}, but the launch started with 0x${o.actual.toString(16)}.`,
  why: 'The policy is part of what the guest owner signs; otherwise the host could launch the same image with, for example, debugging allowed.',
  hint: (o) => `Launch with policy 0x${o.expected.toString(16)}, or sign an ID block for the policy that you want.`,
  confirmed: true,
});

export const FINISH_ID_SIGNATURE = define<{ reason: string }>('id-block-signature', 'BAD_SIGNATURE', {
  title: 'Signature of the ID block is wrong',
  message: (o) => `The signature over the 96 bytes of the ID block does not verify with ID_KEY: ${o.reason}.`,
  why: 'The ID key vouches for digest, family, image, version number and policy. R, S, QX and QY are stored little-endian in fields of 72 bytes; big-endian numbers are the usual mistake.',
  hint: 'Sign the final 96 bytes with the private key that belongs to ID_KEY: ECDSA P-384 over SHA-384.',
  confirmed: true,
});

export const FINISH_KEY_SIGNATURE = define<{ reason: string }>('id-key-signature', 'BAD_SIGNATURE', {
  title: 'Signature of the ID key is wrong',
  message: (o) => `The signature over the 0x404 bytes of ID_KEY does not verify with AUTHOR_KEY: ${o.reason}.`,
  why: 'With AUTH_KEY_EN the author key vouches for the ID key. What it signs is the whole key structure, curve and reserved bytes included.',
  hint: 'Sign the 0x404-byte ID key structure with the author’s private key, or remove author-key.',
  confirmed: true,
});

export interface VerifyIdParams {
  /** 96 bytes. */
  readonly idBlock: Uint8Array;
  /** 4096 bytes. */
  readonly idAuth: Uint8Array;
  /** The guest's launch digest and policy. */
  readonly ld: Uint8Array;
  readonly policy: bigint;
  readonly authKeyEnabled: boolean;
  readonly firmware: FirmwareProfile;
  readonly crypto: Crypto;
}

/** What SNP_LAUNCH_FINISH stores in the guest context. */
export interface VerifiedId {
  readonly block: IdBlock;
  /** SHA-384 of the 0x404-byte keys; zeros without author key. */
  readonly idKeyDigest: Uint8Array;
  readonly authorKeyDigest: Uint8Array;
}

/** Why a signature does not verify, in words; undefined if it does. */
function signatureProblem(
  crypto: Crypto,
  key: IdAuthKey,
  signature: IdAuthSignature,
  message: Uint8Array,
): string | undefined {
  if (key.curve !== CURVE_P384) return `the key names curve ${key.curve}, and P-384 is 2`;
  if (key.overlong) return 'QX or QY has more than 384 bits';
  if (signature.overlong) return 'R or S has more than 384 bits';
  if (isZero(key.x) && isZero(key.y)) return 'the key is all zeros';
  if (isZero(signature.r) || isZero(signature.s)) return 'R or S is zero';
  return crypto.verifyP384({ x: key.x, y: key.y }, message, signature.r, signature.s)
    ? undefined
    : 'R and S do not fit the key and the bytes';
}

/** The checks of SNP_LAUNCH_FINISH on ID block and ID authentication page, in its order; the first failure counts. */
export function verifyIdAuth(params: VerifyIdParams): Result<VerifiedId> {
  const { crypto, firmware } = params;
  const blockBytes = params.idBlock.subarray(0, ID_BLOCK_SIZE);
  const block = decodeIdBlock(blockBytes);
  const auth = parseIdAuth(params.idAuth);
  const wrong = formProblem(block, auth, params.authKeyEnabled, firmware);
  if (wrong) return fail(wrong);
  if (!equalBytes(block.ld, params.ld)) {
    return fail(makeFault(FINISH_MEASUREMENT, { expected: toHex(block.ld), actual: toHex(params.ld) }));
  }
  if (block.policy !== params.policy) {
    return fail(makeFault(FINISH_POLICY, { expected: block.policy, actual: params.policy }));
  }
  const idReason = signatureProblem(crypto, auth.idKey, auth.idBlockSignature, blockBytes);
  if (idReason) return fail(makeFault(FINISH_ID_SIGNATURE, { reason: idReason }));
  if (params.authKeyEnabled) {
    const authorReason = signatureProblem(crypto, auth.authorKey, auth.idKeySignature, auth.idKey.raw);
    if (authorReason) return fail(makeFault(FINISH_KEY_SIGNATURE, { reason: authorReason }));
  }
  return ok({
    block,
    idKeyDigest: crypto.sha384(auth.idKey.raw),
    authorKeyDigest: params.authKeyEnabled ? crypto.sha384(auth.authorKey.raw) : new Uint8Array(48),
  });
}

/** Version, algorithms and reserved bytes: all INVALID_PARAM. */
function formProblem(
  block: IdBlock,
  auth: IdAuth,
  authKeyEnabled: boolean,
  firmware: FirmwareProfile,
): Fault | undefined {
  if (block.version !== 1) return makeFault(FINISH_ID_VERSION, { version: block.version });
  if (auth.idKeyAlgo !== ALGORITHM_P384) return makeFault(FINISH_ID_ALGORITHM, { algorithm: auth.idKeyAlgo });
  if (authKeyEnabled && auth.authKeyAlgo !== ALGORITHM_P384) {
    return makeFault(FINISH_AUTH_ALGORITHM, { algorithm: auth.authKeyAlgo });
  }
  if (auth.reservedAt !== undefined) {
    return makeFault(FINISH_RESERVED, { offset: `0x${auth.reservedAt.toString(16)}` });
  }
  if (firmware.idBlockNeedsAuthorKey && !authKeyEnabled) {
    return makeFault(FINISH_AUTHOR_REQUIRED, { abi: `${firmware.major}.${firmware.minor}` });
  }
  return undefined;
}
