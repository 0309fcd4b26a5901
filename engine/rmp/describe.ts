import { hex } from '../address.js';
import type { RmpEntry } from './entry.js';
import { pageState } from './page-state.js';

/** One line of a view of an RMP entry. */
export interface EntryField {
  readonly name: string;
  readonly value: string;
}

/** `rwxs` with dashes: x is execution at CPL 3, s at CPL 0 … 2; a fifth letter k is the supervisor shadow stack. */
export function vmplMaskText(mask: number): string {
  const letters = ['r', 'w', 'x', 's'].map((letter, bit) => ((mask >> bit) & 1 ? letter : '-')).join('');
  const shadow = mask & 0x10 ? 'k' : '';
  const reserved = mask & 0xe0 ? ` reserved ${hex(mask & 0xe0)}` : '';
  return letters + shadow + reserved;
}

const bit = (set: boolean): string => (set ? '1' : '0');

/** The fields of an entry, in the order of the raw format. `initialised`: see pageState. */
export function describeEntry(entry: RmpEntry, initialised = true): readonly EntryField[] {
  return [
    { name: 'state', value: pageState(entry, initialised) },
    { name: 'assigned', value: bit(entry.assigned) },
    { name: 'page size', value: entry.pageSize2M ? '2M' : '4K' },
    { name: 'immutable', value: bit(entry.immutable) },
    { name: 'sub-page count', value: String(entry.subPageCount) },
    { name: 'GPA', value: hex(entry.gpa) },
    { name: 'ASID', value: String(entry.asid) },
    { name: 'VMSA', value: bit(entry.vmsa) },
    { name: 'validated', value: bit(entry.validated) },
    { name: 'lock', value: bit(entry.lock) },
    ...entry.vmpl.map((mask, level) => ({ name: `VMPL${level}`, value: vmplMaskText(mask) })),
  ];
}
