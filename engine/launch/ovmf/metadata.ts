import { hex } from '../../address.js';
import { toHex, view } from '../../bytes.js';
import { type Fault, makeFault } from '../../fault.js';
import * as faults from './faults.js';

const HEADER = 16;
const DESCRIPTOR = 12;
/** "ASEV" */
const SIGNATURE = 0x5645_5341;

/** Section types of the SEV metadata. edk2 OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm. */
export const SECTION_TYPE = { SEC_MEM: 1, SECRETS: 2, CPUID: 3, SVSM_CAA: 4, KERNEL_HASHES: 0x10 } as const;

export interface OvmfSection {
  readonly base: number;
  readonly size: number;
  /** A value of SECTION_TYPE, or unknown. */
  readonly type: number;
}

export function sectionName(type: number): string {
  const known = Object.entries(SECTION_TYPE).find(([, value]) => value === type);
  return known ? known[0] : `type ${hex(type)}`;
}

/** `fromEnd`: distance of the metadata from the end of the image. Undefined if it cannot be read. */
export function readMetadata(
  bytes: Uint8Array,
  fromEnd: number,
  path: string,
  found: Fault[],
): readonly OvmfSection[] | undefined {
  const start = bytes.length - fromEnd;
  if (start < 0 || start + HEADER > bytes.length) {
    const operands = { path, offset: hex(fromEnd), size: hex(bytes.length) };
    found.push(makeFault(faults.IMAGE_METADATA_OFFSET, operands));
    return undefined;
  }
  const v = view(bytes);
  if (v.getUint32(start, true) !== SIGNATURE) {
    const operands = { path, found: toHex(bytes.subarray(start, start + 4)) };
    found.push(makeFault(faults.IMAGE_METADATA_SIGNATURE, operands));
    return undefined;
  }
  const length = v.getUint32(start + 4, true);
  const version = v.getUint32(start + 8, true);
  const count = v.getUint32(start + 12, true);
  if (version !== 1) {
    found.push(makeFault(faults.IMAGE_METADATA_VERSION, { path, version }));
    return undefined;
  }
  const needed = HEADER + count * DESCRIPTOR;
  const available = bytes.length - start;
  if (needed > length || needed > available) {
    found.push(makeFault(faults.IMAGE_METADATA_TRUNCATED, { path, count, length, available }));
    return undefined;
  }
  return Array.from({ length: count }, (_, i) => {
    const at = start + HEADER + i * DESCRIPTOR;
    return { base: v.getUint32(at, true), size: v.getUint32(at + 4, true), type: v.getUint32(at + 8, true) };
  });
}
