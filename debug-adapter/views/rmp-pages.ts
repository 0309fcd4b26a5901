import { hex, type Pfn, pfn } from '../../engine/address.js';
import { toHex } from '../../engine/bytes.js';
import type { Machine } from '../../engine/machine.js';
import { describeEntry } from '../../engine/rmp/describe.js';
import { pageState } from '../../engine/rmp/page-state.js';
import { effectiveEntry, rawEntry } from '../../engine/rmp/table.js';
import type { Places } from '../places.js';
import type { RmpPage, RmpPagesResponse } from '../protocol.js';
import { changedSinceLastStop, type Track } from '../run/track.js';
import { pageLabel, pageSource } from './rmp-ranges.js';

/** Most pages of one answer; a client asks again for the rest. */
const MAX_PAGES = 4096;

export function rmpPages(machine: Machine, track: Track, places: Places, start: Pfn, count: number): RmpPagesResponse {
  const pages: RmpPage[] = [];
  const end = Math.min(start + Math.min(count, MAX_PAGES), machine.rmp.coveredPages);
  for (let frame = start; frame < end; frame = pfn(frame + 1)) pages.push(rmpPage(machine, track, places, frame));
  return { pages };
}

function rmpPage(machine: Machine, track: Track, places: Places, frame: Pfn): RmpPage {
  const { rmp } = machine;
  const entry = effectiveEntry(rmp, frame);
  const label = pageLabel(machine, track, frame);
  const source = pageSource(track, places, frame);
  return {
    spa: hex(frame * 4096),
    ...(entry.asid > 0 ? { gpa: hex(entry.gpa) } : {}),
    state: pageState(entry, rmp.initialised),
    changed: changedSinceLastStop(track, machine, frame),
    raw: toHex(rawEntry(rmp, frame)),
    fields: describeEntry(entry, rmp.initialised),
    ...(source ? { source } : {}),
    ...(label ? { label } : {}),
  };
}
