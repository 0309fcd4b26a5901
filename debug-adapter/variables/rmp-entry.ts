import { hex, type Pfn } from '../../engine/address.js';
import { toHex } from '../../engine/bytes.js';
import type { Machine } from '../../engine/machine.js';
import { vmplMaskText } from '../../engine/rmp/describe.js';
import type { RmpEntry } from '../../engine/rmp/entry.js';
import { pageState } from '../../engine/rmp/page-state.js';
import { effectiveEntry, rawEntry } from '../../engine/rmp/table.js';
import { countView, flagView, groupView, hexView, type Member, member, textView, type View } from './view.js';

/** Fields of an RMP entry in display order. `state` is first: it is what one looks for. */
export function entryMembers(entry: RmpEntry, initialised: boolean): readonly Member[] {
  return [
    member('state', textView(pageState(entry, initialised))),
    member('assigned', flagView(entry.assigned)),
    member('validated', flagView(entry.validated)),
    member('immutable', flagView(entry.immutable)),
    member('asid', countView(entry.asid)),
    member('gpa', hexView(entry.gpa)),
    member('vmsa', flagView(entry.vmsa)),
    member('pageSize', textView(entry.pageSize2M ? '2M' : '4K')),
    member('lock', flagView(entry.lock)),
    member('subPageCount', countView(entry.subPageCount)),
    ...entry.vmpl.map((mask, level) => member(`vmpl${level}`, { ...hexView(mask), text: vmplMaskText(mask) })),
  ];
}

export function entryText(entry: RmpEntry, initialised: boolean): string {
  const parts: string[] = [pageState(entry, initialised)];
  if (entry.asid > 0) parts.push(`asid ${entry.asid}`, `gpa ${hex(entry.gpa)}`);
  if (entry.vmsa && entry.asid > 0) parts.push('VMSA');
  if (entry.pageSize2M) parts.push('2M');
  return parts.join(', ');
}

export function entryView(entry: RmpEntry, initialised: boolean): View {
  return groupView(entryText(entry, initialised), () => entryMembers(entry, initialised), 'RMP entry');
}

/** The entry of a page as it stands now, with its address and raw bytes. */
export function rmpView(machine: Machine, frame: Pfn): View {
  const entry = effectiveEntry(machine.rmp, frame);
  const initialised = machine.rmp.initialised;
  return groupView(
    entryText(entry, initialised),
    () => [
      ...entryMembers(entry, initialised),
      member('spa', hexView(frame * 4096)),
      member('raw', textView(toHex(rawEntry(machine.rmp, frame)))),
    ],
    'RMP entry',
  );
}
