import { type Gpa, gpa, hex } from '../../address.js';
import { view } from '../../bytes.js';
import { type Fault, makeFault } from '../../fault.js';
import * as faults from './faults.js';
import { type FooterEntry, readFooter } from './footer.js';
import { OVMF_GUID } from './guid.js';
import { type OvmfSection, readMetadata } from './metadata.js';

export const FOUR_GIB = 0x1_0000_0000;

export interface OvmfImage {
  /** As messages call it. */
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Where it is mapped: it ends at 4 GiB. */
  readonly base: Gpa;
  /** The file ends with the GUIDed table. */
  readonly hasFooter: boolean;
  /** Entries of the table, the last one of the file first. */
  readonly entries: readonly FooterEntry[];
  /** Address where application processors start, from the SEV-ES reset block. */
  readonly resetEip?: number;
  /** Area for the table of kernel hashes; base and size are 0 in builds that do not verify. */
  readonly hashTable?: { readonly base: number; readonly size: number };
  /** Sections of the SEV metadata, in table order; undefined: the image has no SEV metadata. */
  readonly sections?: readonly OvmfSection[];
}

/**
 * Reads the GUIDed table and the SEV metadata. Any bytes give an image and the faults of what is malformed;
 * what is absent is no fault here, because it depends on the launch whether it is needed.
 */
export function parseOvmf(
  bytes: Uint8Array,
  path = 'the firmware image',
): { readonly image: OvmfImage; readonly faults: readonly Fault[] } {
  const found: Fault[] = [];
  const footer = readFooter(bytes, path, found);
  const entries = footer ?? [];
  const data = (guid: string, size: number): DataView | undefined => {
    const entry = entries.find((e) => e.guid === guid);
    return entry && entry.data.length >= size ? view(entry.data) : undefined;
  };
  const reset = data(OVMF_GUID.sevEsReset, 4);
  const hashTable = data(OVMF_GUID.hashTable, 8);
  const metadata = data(OVMF_GUID.sevMetadata, 4);
  const sections = metadata && readMetadata(bytes, metadata.getUint32(0, true), path, found);
  const image: OvmfImage = {
    path,
    bytes,
    base: gpa(FOUR_GIB - bytes.length),
    hasFooter: footer !== undefined,
    entries,
    ...(reset ? { resetEip: reset.getUint32(0, true) } : {}),
    ...(hashTable ? { hashTable: { base: hashTable.getUint32(0, true), size: hashTable.getUint32(4, true) } } : {}),
    ...(sections ? { sections } : {}),
  };
  return { image, faults: found };
}

const PAGE_MASK = 4095;

/** Whether the image is whole pages; needed for any measurement. */
export function checkImageSize(image: OvmfImage, recognised: string): Fault | undefined {
  if ((image.bytes.length & PAGE_MASK) === 0) return undefined;
  return makeFault(faults.IMAGE_SIZE_UNALIGNED, { path: image.path, length: hex(image.bytes.length), recognised });
}
