import { copyBytes, view } from '../bytes.js';

/** ID block: 96 bytes. AMD pub. 56860, SNP_LAUNCH_FINISH, ID block format. */
export const ID_BLOCK_SIZE = 96;
export const ID_AUTH_SIZE = 4096;

export interface IdBlock {
  /** Expected launch digest, 48 bytes. */
  readonly ld: Uint8Array;
  /** 16 bytes each. */
  readonly familyId: Uint8Array;
  readonly imageId: Uint8Array;
  /** Must be 1. */
  readonly version: number;
  readonly guestSvn: number;
  readonly policy: bigint;
}

export function encodeIdBlock(block: IdBlock): Uint8Array {
  const bytes = new Uint8Array(ID_BLOCK_SIZE);
  bytes.set(block.ld, 0);
  bytes.set(block.familyId, 0x30);
  bytes.set(block.imageId, 0x40);
  const v = view(bytes);
  v.setUint32(0x50, block.version, true);
  v.setUint32(0x54, block.guestSvn, true);
  v.setBigUint64(0x58, block.policy, true);
  return bytes;
}

/** Needs at least 96 bytes. */
export function decodeIdBlock(bytes: Uint8Array): IdBlock {
  const v = view(bytes);
  return {
    ld: copyBytes(bytes, 0, 0x30),
    familyId: copyBytes(bytes, 0x30, 0x40),
    imageId: copyBytes(bytes, 0x40, 0x50),
    version: v.getUint32(0x50, true),
    guestSvn: v.getUint32(0x54, true),
    policy: v.getBigUint64(0x58, true),
  };
}
