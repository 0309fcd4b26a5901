import type { Gpa } from '../address.js';

/**
 * One RMP entry, decoded. Raw format: 16 bytes, Zen 3 and Zen 4 (AMDESE/sev-tool src/rmp.h; Linux
 * arch/x86/virt/svm/sev.c `struct rmpentry`).
 */
export interface RmpEntry {
  readonly assigned: boolean;
  /** The entry covers 2 MiB; only the head entry of the region is authoritative. */
  readonly pageSize2M: boolean;
  readonly immutable: boolean;
  /** Number of assigned 4 KiB sub-pages; kept in the head entry of each 2 MiB region. 9 bits, so 512 wraps. */
  readonly subPageCount: number;
  readonly gpa: Gpa;
  readonly asid: number;
  readonly vmsa: boolean;
  readonly validated: boolean;
  /** Set by hardware and firmware while they work on the page, and on firmware-owned pages. */
  readonly lock: boolean;
  /** Permission masks of VMPL0 … VMPL3: 1 read, 2 write, 4 execute user, 8 execute supervisor. */
  readonly vmpl: readonly [number, number, number, number];
}

export const VMPL_ALL = 0x0f;

export const HYPERVISOR_ENTRY: RmpEntry = {
  assigned: false,
  pageSize2M: false,
  immutable: false,
  subPageCount: 0,
  gpa: 0 as Gpa,
  asid: 0,
  vmsa: false,
  validated: false,
  lock: false,
  vmpl: [0, 0, 0, 0],
};

const TWO_32 = 0x1_0000_0000;

/** Writes the 16 bytes at `offset`. */
export function encodeEntry(entry: RmpEntry, out: DataView, offset: number): void {
  const frame = entry.gpa / 4096;
  // Bits 50:12 hold the frame: its low 20 bits in the low word, the other 19 in the high one.
  const low =
    (entry.assigned ? 1 : 0) |
    (entry.pageSize2M ? 2 : 0) |
    (entry.immutable ? 4 : 0) |
    ((entry.subPageCount & 0x1ff) << 3) |
    ((frame % 0x10_0000) * 0x1000);
  const high =
    (Math.floor(frame / 0x10_0000) & 0x7_ffff) |
    ((entry.asid & 0x3ff) << 19) |
    (entry.vmsa ? 1 << 29 : 0) |
    (entry.validated ? 1 << 30 : 0) |
    (entry.lock ? 1 << 31 : 0);
  out.setUint32(offset, low >>> 0, true);
  out.setUint32(offset + 4, high >>> 0, true);
  out.setUint8(offset + 8, entry.vmpl[0]);
  out.setUint8(offset + 9, entry.vmpl[1]);
  out.setUint8(offset + 10, entry.vmpl[2]);
  out.setUint8(offset + 11, entry.vmpl[3]);
  out.setUint32(offset + 12, 0, true);
}

export function decodeEntry(raw: DataView, offset: number): RmpEntry {
  const low = raw.getUint32(offset, true);
  const high = raw.getUint32(offset + 4, true);
  return {
    assigned: (low & 1) !== 0,
    pageSize2M: (low & 2) !== 0,
    immutable: (low & 4) !== 0,
    subPageCount: (low >>> 3) & 0x1ff,
    gpa: ((high & 0x7_ffff) * TWO_32 + (low - (low % 0x1000))) as Gpa,
    asid: (high >>> 19) & 0x3ff,
    vmsa: (high & (1 << 29)) !== 0,
    validated: (high & (1 << 30)) !== 0,
    lock: high >>> 31 !== 0,
    vmpl: [raw.getUint8(offset + 8), raw.getUint8(offset + 9), raw.getUint8(offset + 10), raw.getUint8(offset + 11)],
  };
}
