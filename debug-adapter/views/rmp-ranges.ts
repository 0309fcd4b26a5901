import { hex, PAGES_PER_2M, type Pfn, pfn } from '../../engine/address.js';
import type { Machine } from '../../engine/machine.js';
import { plainPage } from '../../engine/memory/system-memory.js';
import { type PageState, pageState } from '../../engine/rmp/page-state.js';
import { effectiveEntry } from '../../engine/rmp/table.js';
import type { Places } from '../places.js';
import type { RmpPageSource, RmpRange, RmpRangesResponse } from '../protocol.js';
import { changedSinceLastStop, type Track } from '../run/track.js';

/** A run of pages while it grows. */
interface Run {
  readonly start: number;
  pages: number;
  readonly state: PageState;
  readonly asid: number;
  readonly large: boolean;
  readonly gpa: number;
  lastGpa: number;
  readonly label: string;
  changed: number;
}

/** The whole table as runs of equal pages. Only chunks that were ever written are looked at. */
export function rmpRanges(machine: Machine, track: Track, places: Places, position: number): RmpRangesResponse {
  const { rmp } = machine;
  const runs: Run[] = [];
  const indexes = [...rmp.chunks.keys()].sort((a, b) => a - b);
  let next = 0;
  for (const index of indexes) {
    const first = index * PAGES_PER_2M;
    addGap(runs, machine, next, first);
    const end = Math.min(first + PAGES_PER_2M, rmp.coveredPages);
    for (let frame = first; frame < end; frame++) addPage(runs, machine, track, pfn(frame));
    next = Math.max(next, end);
  }
  addGap(runs, machine, next, rmp.coveredPages);
  return { position, ranges: runs.map((run) => toRange(run, pageSource(track, places, pfn(run.start)))) };
}

function addPage(runs: Run[], machine: Machine, track: Track, frame: Pfn): void {
  const entry = effectiveEntry(machine.rmp, frame);
  const state = pageState(entry, machine.rmp.initialised);
  const changed = changedSinceLastStop(track, machine, frame) ? 1 : 0;
  const label = pageLabel(machine, track, frame);
  const last = runs[runs.length - 1];
  // VMSA pages all have the same GPA; any other run continues in the guest too.
  const continues = last && (entry.asid === 0 || entry.gpa === last.lastGpa + 4096 || entry.gpa === last.lastGpa);
  if (
    last?.state === state &&
    last.asid === entry.asid &&
    last.large === entry.pageSize2M &&
    last.label === label &&
    continues
  ) {
    last.pages++;
    last.changed += changed;
    last.lastGpa = entry.gpa;
    return;
  }
  runs.push({
    start: frame,
    pages: 1,
    state,
    asid: entry.asid,
    large: entry.pageSize2M,
    gpa: entry.gpa,
    lastGpa: entry.gpa,
    label,
    changed,
  });
}

function addGap(runs: Run[], machine: Machine, from: number, to: number): void {
  if (to <= from) return;
  const state: PageState = machine.rmp.initialised ? 'Hypervisor' : 'Default';
  const last = runs[runs.length - 1];
  if (last?.state === state && last.label === '') {
    last.pages += to - from;
    return;
  }
  runs.push({ start: from, pages: to - from, state, asid: 0, large: false, gpa: 0, lastGpa: 0, label: '', changed: 0 });
}

/** What made the page what it is: the launch entry of a guest page, else what the host allocated it for. */
export function pageLabel(machine: Machine, track: Track, frame: Pfn): string {
  const entry = effectiveEntry(machine.rmp, frame);
  if (!entry.assigned) return '';
  const origin = track.origins.get(frame);
  if (origin) return origin.label;
  const { base, end } = machine.rmp;
  const address = frame * 4096;
  if (address >= base && address <= end) return 'the RMP itself';
  return plainPage(machine.memory, frame).use;
}

/** The lines of the manifest that made the page. */
export function pageSource(track: Track, places: Places, frame: Pfn): RmpPageSource | undefined {
  const origin = track.origins.get(frame);
  const place = origin && places.of(origin.at);
  return place && { path: place.path, line: place.line, endLine: place.endLine };
}

function toRange(run: Run, source: RmpPageSource | undefined): RmpRange {
  return {
    start: hex(run.start * 4096),
    pages: run.pages,
    state: run.state,
    asid: run.asid,
    changed: run.changed,
    ...(run.asid > 0 ? { gpa: hex(run.gpa) } : {}),
    ...(run.label ? { label: run.label } : {}),
    ...(source ? { source } : {}),
  };
}
