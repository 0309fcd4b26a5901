import { view } from '../../bytes.js';
import { type Fault, makeFault } from '../../fault.js';
import { IMAGE_ENTRY_SIZE, IMAGE_FOOTER_SIZE } from './faults.js';
import { guidText, OVMF_GUID } from './guid.js';

/** u16 length of the whole entry, then its GUID; the data stands before. */
const ENTRY_HEADER = 18;
/** Bytes between the table and the end of the image: the reset vector. */
const AFTER_FOOTER = 32;

export interface FooterEntry {
  readonly guid: string;
  readonly data: Uint8Array;
  /** Offset of `data` in the image. */
  readonly offset: number;
}

/** The entries of the GUIDed table, from its end to its start; undefined if the image has no such table. */
export function readFooter(bytes: Uint8Array, path: string, faults: Fault[]): readonly FooterEntry[] | undefined {
  const footer = bytes.length - AFTER_FOOTER - ENTRY_HEADER;
  if (footer < 0 || guidAt(bytes, footer + 2) !== OVMF_GUID.footer) return undefined;
  const v = view(bytes);
  const length = v.getUint16(footer, true);
  if (length < ENTRY_HEADER || length - ENTRY_HEADER > footer) {
    faults.push(makeFault(IMAGE_FOOTER_SIZE, { path, length, available: footer + ENTRY_HEADER }));
    return [];
  }
  const start = footer - (length - ENTRY_HEADER);
  const entries: FooterEntry[] = [];
  let end = footer;
  while (end - start >= ENTRY_HEADER) {
    const header = end - ENTRY_HEADER;
    const size = v.getUint16(header, true);
    const guid = guidAt(bytes, header + 2);
    if (size < ENTRY_HEADER || size > end - start) {
      faults.push(makeFault(IMAGE_ENTRY_SIZE, { path, guid, length: size, available: end - start }));
      break;
    }
    entries.push({ guid, data: bytes.subarray(end - size, header), offset: end - size });
    end -= size;
  }
  return entries;
}

function guidAt(bytes: Uint8Array, offset: number): string {
  return guidText(bytes.subarray(offset, offset + 16));
}
