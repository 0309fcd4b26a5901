import { gpa } from '../address.js';
import { copyBytes, view } from '../bytes.js';
import type { RmpEntry } from '../rmp/entry.js';

/** Metadata entry of a page that is swapped out, 64 bytes. AMDESE/sev-tool src/sevapi.h `snp_page_mdata`. */

export const METADATA_ENTRY_SIZE = 64;
export const TAG_SIZE = 16;

export interface MetadataEntry {
  /** Of the host; the firmware only keeps it. */
  readonly softwareData: bigint;
  /** Count under the OEK with which the page was encrypted. */
  readonly iv: bigint;
  /** 16 bytes. */
  readonly tag: Uint8Array;
  /** False: the entry is free. */
  readonly valid: boolean;
  readonly pageValidated: boolean;
  readonly vmsa: boolean;
  readonly metadata: boolean;
  readonly pageSize2M: boolean;
  readonly gpa: RmpEntry['gpa'];
  /** Permission masks of VMPL0 … VMPL3. */
  readonly vmpl: RmpEntry['vmpl'];
}

const FLAG = { VALID: 1n, PAGE_VALIDATED: 2n, VMSA: 4n, METADATA: 8n, PAGE_SIZE: 16n } as const;
const ATTRIBUTES = { offset: 0x20, size: 0x10 } as const;

export function encodeMetadataEntry(entry: MetadataEntry): Uint8Array {
  const bytes = new Uint8Array(METADATA_ENTRY_SIZE);
  const v = view(bytes);
  v.setBigUint64(0x00, entry.softwareData, true);
  v.setBigUint64(0x08, entry.iv, true);
  bytes.set(entry.tag, 0x10);
  const flags =
    (entry.valid ? FLAG.VALID : 0n) |
    (entry.pageValidated ? FLAG.PAGE_VALIDATED : 0n) |
    (entry.vmsa ? FLAG.VMSA : 0n) |
    (entry.metadata ? FLAG.METADATA : 0n) |
    (entry.pageSize2M ? FLAG.PAGE_SIZE : 0n);
  v.setBigUint64(ATTRIBUTES.offset, flags | BigInt(entry.gpa), true);
  bytes.set(entry.vmpl, 0x28);
  return bytes;
}

/** Needs 64 bytes. */
export function decodeMetadataEntry(bytes: Uint8Array): MetadataEntry {
  const v = view(bytes);
  const attributes = v.getBigUint64(ATTRIBUTES.offset, true);
  const has = (flag: bigint): boolean => (attributes & flag) !== 0n;
  return {
    softwareData: v.getBigUint64(0x00, true),
    iv: v.getBigUint64(0x08, true),
    tag: copyBytes(bytes, 0x10, 0x10 + TAG_SIZE),
    valid: has(FLAG.VALID),
    pageValidated: has(FLAG.PAGE_VALIDATED),
    vmsa: has(FLAG.VMSA),
    metadata: has(FLAG.METADATA),
    pageSize2M: has(FLAG.PAGE_SIZE),
    gpa: gpa(Number(attributes & ~0xfffn & ((1n << 52n) - 1n))),
    vmpl: [v.getUint8(0x28), v.getUint8(0x29), v.getUint8(0x2a), v.getUint8(0x2b)],
  };
}

/** What the tag covers beside the page: flags, GPA and masks (U). */
export function metadataAdditionalData(entry: MetadataEntry): Uint8Array {
  return encodeMetadataEntry(entry).subarray(ATTRIBUTES.offset, ATTRIBUTES.offset + ATTRIBUTES.size);
}
