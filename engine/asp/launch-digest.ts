import { view } from '../bytes.js';
import type { Crypto } from '../crypto.js';

export const DIGEST_SIZE = 48;
export const PAGE_INFO_SIZE = 0x70;

/** PAGE_INFO without the running digest (AMD pub. 56860, SNP_LAUNCH_UPDATE; AMDESE/sev-tool src/sevapi.h). */
export interface PageInfo {
  /** SHA-384 of the page for NORMAL and VMSA; undefined: 48 zero bytes. */
  readonly contents?: Uint8Array;
  readonly pageType: number;
  readonly gpa: number;
  readonly imiPage?: boolean;
  /** Permission masks of VMPL1, VMPL2, VMPL3. */
  readonly vmplMasks?: readonly [number, number, number];
}

export function zeroDigest(): Uint8Array {
  return new Uint8Array(DIGEST_SIZE);
}

const scratch = new Uint8Array(PAGE_INFO_SIZE);
const scratchView = view(scratch);

/**
 * LD := SHA-384(PAGE_INFO), where PAGE_INFO starts with the old LD. The mask bytes stand at 0x65 … 0x67 for
 * VMPL1 … VMPL3, as AMD's sev-tool has them; sev-snp-measure has another order, which zero masks hide.
 */
export function extendDigest(ld: Uint8Array, info: PageInfo, crypto: Crypto): Uint8Array {
  scratch.set(ld, 0);
  if (info.contents) scratch.set(info.contents, 0x30);
  else scratch.fill(0, 0x30, 0x60);
  scratchView.setUint16(0x60, PAGE_INFO_SIZE, true);
  scratch[0x62] = info.pageType;
  scratch[0x63] = info.imiPage ? 1 : 0;
  scratch[0x64] = 0;
  scratch[0x65] = info.vmplMasks?.[0] ?? 0;
  scratch[0x66] = info.vmplMasks?.[1] ?? 0;
  scratch[0x67] = info.vmplMasks?.[2] ?? 0;
  scratchView.setUint32(0x68, info.gpa % 0x1_0000_0000, true);
  scratchView.setUint32(0x6c, Math.floor(info.gpa / 0x1_0000_0000), true);
  return crypto.sha384(scratch);
}

/** Offset and size of GUEST_TSC_SCALE and GUEST_TSC_OFFSET in a VMSA: the firmware owns them and measures zeros. */
export const VMSA_TSC_FIELDS = { offset: 0x2f0, size: 0x10 } as const;
