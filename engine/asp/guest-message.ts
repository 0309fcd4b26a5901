import { gcm } from '@noble/ciphers/aes.js';
import { copyBytes, view } from '../bytes.js';

/**
 * Messages between a guest and the firmware, which the host carries but cannot read. AMD pub. 56860, guest messages;
 * Linux include/linux/psp-sev.h and drivers/virt/coco/sev-guest/sev-guest.c `struct snp_guest_msg_hdr`.
 */

export const MESSAGE_HEADER_SIZE = 0x60;
/** A message is one page. */
export const MESSAGE_MAX_PAYLOAD = 4096 - MESSAGE_HEADER_SIZE;
/** AES-256-GCM. */
export const MESSAGE_ALGORITHM = 1;
export const MESSAGE_HEADER_VERSION = 1;
export const VMPCK_SIZE = 32;

/** MSG_TYPE. */
export const MESSAGE_TYPE = {
  CPUID_REQ: 1,
  CPUID_RSP: 2,
  KEY_REQ: 3,
  KEY_RSP: 4,
  REPORT_REQ: 5,
  REPORT_RSP: 6,
  EXPORT_REQ: 7,
  EXPORT_RSP: 8,
  IMPORT_REQ: 9,
  IMPORT_RSP: 10,
  ABSORB_REQ: 11,
  ABSORB_RSP: 12,
  VMRK_REQ: 13,
  VMRK_RSP: 14,
  ABSORB_NOMA_REQ: 15,
  ABSORB_NOMA_RSP: 16,
  TSC_INFO_REQ: 17,
  TSC_INFO_RSP: 18,
} as const;

const typeNames = new Map<number, string>(Object.entries(MESSAGE_TYPE).map(([name, type]) => [type, `MSG_${name}`]));

/** `MSG_REPORT_REQ`; undefined for a number that no message has. */
export function messageTypeName(type: number): string | undefined {
  return typeNames.get(type);
}

/** Offsets in the header. */
export const MESSAGE_HEADER = {
  authTag: 0x00,
  sequence: 0x20,
  algorithm: 0x30,
  headerVersion: 0x31,
  headerSize: 0x32,
  type: 0x34,
  version: 0x35,
  size: 0x36,
  vmpck: 0x3c,
} as const;

/** Ranges of the header that must be zero. */
const RESERVED = [
  [0x28, 0x30],
  [0x38, 0x3c],
  [0x3d, 0x60],
] as const;

export interface MessageHeader {
  /** MSG_SEQNO: also the nonce, so a number is never used twice with a key. */
  readonly sequence: bigint;
  readonly algorithm: number;
  readonly headerVersion: number;
  readonly headerSize: number;
  /** A value of MESSAGE_TYPE. */
  readonly type: number;
  /** Version of the payload's layout. */
  readonly version: number;
  /** Bytes of the payload. */
  readonly size: number;
  /** Which of the four VM platform communication keys: 0 … 3. */
  readonly vmpck: number;
  /** Offset of the first reserved byte that is not zero. */
  readonly reservedAt?: number;
}

/** Reads the header of a message page; never fails. */
export function decodeMessageHeader(page: Uint8Array): MessageHeader {
  const v = view(page);
  let reservedAt: number | undefined;
  for (const [start, end] of RESERVED) {
    for (let i = start; i < end && reservedAt === undefined; i++) if (page[i] !== 0) reservedAt = i;
  }
  return {
    sequence: v.getBigUint64(MESSAGE_HEADER.sequence, true),
    algorithm: v.getUint8(MESSAGE_HEADER.algorithm),
    headerVersion: v.getUint8(MESSAGE_HEADER.headerVersion),
    headerSize: v.getUint16(MESSAGE_HEADER.headerSize, true),
    type: v.getUint8(MESSAGE_HEADER.type),
    version: v.getUint8(MESSAGE_HEADER.version),
    size: v.getUint16(MESSAGE_HEADER.size, true),
    vmpck: v.getUint8(MESSAGE_HEADER.vmpck),
    ...(reservedAt === undefined ? {} : { reservedAt }),
  };
}

export interface Message {
  readonly sequence: bigint;
  readonly type: number;
  readonly version: number;
  readonly vmpck: number;
  readonly payload: Uint8Array;
}

const TAG_SIZE = 16;

function nonce(sequence: bigint): Uint8Array {
  const bytes = new Uint8Array(12);
  view(bytes).setBigUint64(0, sequence, true);
  return bytes;
}

/** Authenticated with the payload: the header from ALGO to its end. */
function additionalData(page: Uint8Array): Uint8Array {
  return page.subarray(MESSAGE_HEADER.algorithm, MESSAGE_HEADER_SIZE);
}

/** Header and ciphertext. Key: the 32 bytes of the VMPCK. Throws on a payload over 4000 bytes: the caller's bug. */
export function sealMessage(key: Uint8Array, message: Message): Uint8Array {
  const { payload } = message;
  if (payload.length > MESSAGE_MAX_PAYLOAD) throw new RangeError(`a message has at most ${MESSAGE_MAX_PAYLOAD} bytes`);
  const bytes = new Uint8Array(MESSAGE_HEADER_SIZE + payload.length);
  const v = view(bytes);
  v.setBigUint64(MESSAGE_HEADER.sequence, message.sequence, true);
  v.setUint8(MESSAGE_HEADER.algorithm, MESSAGE_ALGORITHM);
  v.setUint8(MESSAGE_HEADER.headerVersion, MESSAGE_HEADER_VERSION);
  v.setUint16(MESSAGE_HEADER.headerSize, MESSAGE_HEADER_SIZE, true);
  v.setUint8(MESSAGE_HEADER.type, message.type);
  v.setUint8(MESSAGE_HEADER.version, message.version);
  v.setUint16(MESSAGE_HEADER.size, payload.length, true);
  v.setUint8(MESSAGE_HEADER.vmpck, message.vmpck);
  const sealed = gcm(key, nonce(message.sequence), additionalData(bytes)).encrypt(payload);
  bytes.set(sealed.subarray(0, payload.length), MESSAGE_HEADER_SIZE);
  bytes.set(sealed.subarray(payload.length), MESSAGE_HEADER.authTag);
  return bytes;
}

/**
 * The message in a page, decrypted; undefined if the tag does not fit key, header and ciphertext, or if the size goes
 * beyond the page.
 */
export function openMessage(key: Uint8Array, page: Uint8Array): Message | undefined {
  const { sequence, type, version, vmpck, size } = decodeMessageHeader(page);
  if (MESSAGE_HEADER_SIZE + size > page.length) return undefined;
  const sealed = new Uint8Array(size + TAG_SIZE);
  sealed.set(page.subarray(MESSAGE_HEADER_SIZE, MESSAGE_HEADER_SIZE + size));
  sealed.set(page.subarray(MESSAGE_HEADER.authTag, MESSAGE_HEADER.authTag + TAG_SIZE), size);
  try {
    const payload = copyBytes(gcm(key, nonce(sequence), additionalData(page)).decrypt(sealed));
    return { sequence, type, version, vmpck, payload };
  } catch {
    return undefined;
  }
}
