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

const PERMISSION_WORDS = ['read', 'write', 'execute at CPL 3', 'execute at CPL 0 to 2', 'supervisor shadow stack'];

/** The permissions of a mask in words: `read, write`, or `no access`. */
export function vmplMaskWords(mask: number): string {
  const words = PERMISSION_WORDS.filter((_, bit) => (mask >> bit) & 1);
  return words.length === 0 ? 'no access' : words.join(', ');
}

/** Who holds the page, from the point of view of the guest with this ASID. */
export function ownerText(entry: RmpEntry, asid: number): string {
  if (!entry.assigned) return entry.immutable ? 'fixed as memory of the hypervisor' : 'assigned to no guest';
  if (entry.asid === 0)
    return entry.immutable ? 'held by the firmware' : 'given back by the firmware, not yet reclaimed';
  return entry.asid === asid
    ? `assigned to this guest (ASID ${asid})`
    : `assigned to the guest with ASID ${entry.asid}`;
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
