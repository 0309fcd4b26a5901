import { hex, type Pfn } from '../../engine/address.js';
import type { Machine } from '../../engine/machine.js';
import { plainPage, readPage } from '../../engine/memory/system-memory.js';
import { effectiveEntry } from '../../engine/rmp/table.js';
import { hostReference, plainReference } from '../memory-reference.js';
import type { Track } from '../run/track.js';
import { entryText, entryView, rmpView } from './rmp-entry.js';
import { dumpView, groupView, hexView, type Member, member, textView, type View } from './view.js';

/** A page of system memory with its RMP entry and both views of its contents. */
export function pageView(machine: Machine, track: Track, frame: Pfn): View {
  return groupView(`SPA ${hex(frame * 4096)}`, () => pageMembers(machine, track, frame), 'page');
}

export function pageMembers(machine: Machine, track: Track, frame: Pfn): readonly Member[] {
  const entry = effectiveEntry(machine.rmp, frame);
  const before = track.before.get(frame);
  const initialised = machine.rmp.initialised;
  const { key, use, content } = plainPage(machine.memory, frame);
  const origin = track.origins.get(frame);
  const change = before ? ` (was ${entryText(before, initialised)})` : '';
  const rmp = rmpView(machine, frame);
  return [
    member('spa', hexView(frame * 4096)),
    ...(entry.asid > 0 ? [member('gpa', hexView(entry.gpa))] : []),
    member('rmp', { ...rmp, text: rmp.text + change }),
    ...(before ? [member('before', entryView(before, initialised))] : []),
    ...(origin ? [member('madeBy', textView(origin.label))] : []),
    ...(use ? [member('use', textView(use))] : []),
    member('encrypted', textView(key === 0 ? 'no' : `yes, with key ${key}`), true),
    member('hostView', dumpView(readPage(machine.memory, frame), hostReference(frame))),
    ...(key === 0 ? [] : [member('plain', dumpView(content.bytes, plainReference(frame)), true)]),
  ];
}
