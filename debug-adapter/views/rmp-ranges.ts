import { hex, PAGES_PER_2M, type Pfn, pfn } from '../../engine/address.js';
import type { Machine } from '../../engine/machine.js';
import { plainPage } from '../../engine/memory/system-memory.js';
import { type PageState, pageState } from '../../engine/rmp/page-state.js';
import { effectiveEntry } from '../../engine/rmp/table.js';
import type { Places } from '../places.js';
import type { RmpPageSource, RmpRange, RmpRangesResponse } from '../protocol.js';
import { changedSinceLastStop, type Track } from '../run/track.js';
import { dropStaleRuns } from './rmp-runs-cache.js';

/** Pages that follow each other in host and guest and are alike. */
export interface RmpRun {
  readonly start: number;
  pages: number;
  readonly state: PageState;
  readonly asid: number;
  readonly large: boolean;
  /** GPA of the first page, and of the last. */
  readonly gpa: number;
  lastGpa: number;
  readonly label: string;
  /** Pages that have changed since the last stop. */
  changed: number;
}

/** The whole table as runs of equal pages. Only chunks that were ever written are looked at. */
export function rmpRanges(machine: Machine, track: Track, places: Places, position: number): RmpRangesResponse {
  const { rmp } = machine;
  const runs: RmpRun[] = [];
  const indexes = [...rmp.chunks.keys()].sort((a, b) => a - b);
  dropStaleRuns(track.runs, machine, track.shownRevision);
  let next = 0;
  for (const index of indexes) {
    const first = index * PAGES_PER_2M;
    addGap(runs, machine, next, first);
    for (const run of runsOfChunk(machine, track, index)) append(runs, { ...run });
    next = Math.max(next, Math.min(first + PAGES_PER_2M, rmp.coveredPages));
  }
  addGap(runs, machine, next, rmp.coveredPages);
  return { position, ranges: runs.map((run) => toRange(run, pageSource(track, places, pfn(run.start)))) };
}

/** A region of 2 MiB that has not changed since it was asked for last need not be looked at again. */
function runsOfChunk(machine: Machine, track: Track, index: number): readonly Readonly<RmpRun>[] {
  const known = track.runs.chunks.get(index);
  if (known) return known;
  const { rmp } = machine;
  const runs: RmpRun[] = [];
  const first = index * PAGES_PER_2M;
  const end = Math.min(first + PAGES_PER_2M, rmp.coveredPages);
  for (let start = first; start < end; start++) {
    const frame = pfn(start);
    const entry = effectiveEntry(rmp, frame);
    const { asid, pageSize2M: large, gpa } = entry;
    const state = pageState(entry, rmp.initialised);
    const label = pageLabel(machine, track, frame);
    const changed = changedSinceLastStop(track, machine, frame) ? 1 : 0;
    append(runs, { start, pages: 1, state, asid, large, gpa, lastGpa: gpa, label, changed });
  }
  track.runs.chunks.set(index, runs);
  if (runs.some((run) => run.changed > 0)) track.runs.marked.add(index);
  return runs;
}

/** At the end of `runs`, as a part of the last one if it goes on there. */
function append(runs: RmpRun[], run: RmpRun): void {
  const last = runs[runs.length - 1];
  // VMSA pages all have the same GPA; any other run continues in the guest too.
  const continues = last && (run.asid === 0 || run.gpa === last.lastGpa + 4096 || run.gpa === last.lastGpa);
  if (
    !continues ||
    last.state !== run.state ||
    last.asid !== run.asid ||
    last.large !== run.large ||
    last.label !== run.label
  ) {
    runs.push(run);
    return;
  }
  last.pages += run.pages;
  last.changed += run.changed;
  last.lastGpa = run.lastGpa;
}

function addGap(runs: RmpRun[], machine: Machine, from: number, to: number): void {
  if (to <= from) return;
  const state: PageState = machine.rmp.initialised ? 'Hypervisor' : 'Default';
  const page = { asid: 0, large: false, gpa: 0, lastGpa: 0, label: '', changed: 0 };
  append(runs, { start: from, pages: to - from, state, ...page });
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

function toRange(run: RmpRun, source: RmpPageSource | undefined): RmpRange {
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
