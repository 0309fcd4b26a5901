import { isAbsolute } from 'node:path';
import { type Pfn, pfnOf, spa } from '../../engine/address.js';
import type { Fault, SourceLocation } from '../../engine/fault.js';
import type { LaunchPlan } from '../../engine/launch/plan.js';
import type { Machine } from '../../engine/machine.js';
import type { RmpEntry } from '../../engine/rmp/entry.js';
import type { EngineEvent, Frame } from '../../engine/timeline/event.js';
import { createGuestTrack, type GuestTrack, trackGuest } from '../guest/track.js';
import { shortPath } from '../output.js';
import { createRmpRunsCache, noteRmpChange, type RmpRunsCache } from '../views/rmp-runs-cache.js';

/** Which part of the manifest made a page what it is. */
export interface Origin {
  /** Index into LaunchPlan.entries. */
  readonly entry: number;
  readonly at: SourceLocation;
  readonly label: string;
}

/** What the debugger remembers of the events so far, beside the machine's own state. */
export interface Track {
  readonly origins: Map<Pfn, Origin>;
  /** Entries that changed since the last stop, as they were then. */
  readonly before: Map<Pfn, RmpEntry>;
  /** Rmp.revision at the stop before the present one. */
  shownRevision: number;
  /** The event that the machine stands right after. */
  last?: EngineEvent;
  /** Page of the latest RMP change. */
  lastPage?: Pfn;
  /** The latest firmware command that returned. */
  firmware?: { readonly command: string; readonly result: string; readonly value?: number };
  /** The latest ioctl that returned. */
  ioctl?: { readonly name: string; readonly result: string };
  readonly guest: GuestTrack;
  readonly runs: RmpRunsCache;
}

export function createTrack(): Track {
  return {
    origins: new Map(),
    before: new Map(),
    shownRevision: 0,
    guest: createGuestTrack(),
    runs: createRmpRunsCache(),
  };
}

export function trackEvent(track: Track, event: EngineEvent, machine: Machine, plan: LaunchPlan): void {
  track.last = event;
  trackGuest(track.guest, event, machine);
  switch (event.kind) {
    case 'rmp': {
      const { pfn, before, after } = event.change;
      noteRmpChange(track.runs, pfn);
      track.lastPage = pfn;
      if (!track.before.has(pfn)) track.before.set(pfn, before);
      if (after.asid > 0) {
        const origin = originOf(plan, machine.stack.frames, after.gpa);
        if (origin) track.origins.set(pfn, origin);
      } else if (!after.assigned) track.origins.delete(pfn);
      return;
    }
    case 'leave':
      if (event.frame.layer === 'firmware') {
        track.firmware = { command: event.frame.name, result: event.result, value: firmwareValue(event.fault) };
      }
      if (event.frame.layer === 'kvm') track.ioctl = { name: event.frame.name, result: event.result };
      return;
    case 'enter':
    case 'digest':
    case 'log':
    case 'exit':
    case 'exception':
    case 'instruction':
    case 'console':
    case 'control':
      return;
  }
}

/** A stop is shown: what changes from here on is new. */
export function beginStretch(track: Track, machine: Machine): void {
  track.before.clear();
  track.shownRevision = machine.rmp.revision;
}

export function changedSinceLastStop(track: Track, machine: Machine, pfn: Pfn): boolean {
  return (machine.rmp.changedAt.get(pfn) ?? 0) > track.shownRevision;
}

export function currentEntry(machine: Machine): number | undefined {
  return machine.stack.frames.find((frame) => frame.entry !== undefined)?.entry;
}

/** The page at hand: of the innermost frame that works on one, else of the latest RMP change. */
export function pageAtHand(machine: Machine, track: Track, upTo?: Frame): Pfn | undefined {
  const frames = machine.stack.frames;
  const from = upTo ? frames.indexOf(upTo) : frames.length - 1;
  for (let i = from; i >= 0; i--) {
    const frame = frames[i];
    const page = frame && pageOf(frame);
    if (page !== undefined) return page;
  }
  return track.last?.kind === 'rmp' ? track.last.change.pfn : undefined;
}

/** RMP instructions and firmware commands name their page by its address. */
function pageOf(frame: Frame): Pfn | undefined {
  if (frame.page?.pfn !== undefined) return frame.page.pfn;
  const address = frame.layer === 'hardware' ? frame.args['spa'] : frame.args['page'];
  return typeof address === 'string' && /^0x[0-9a-f]+$/.test(address) ? pfnOf(spa(Number(address))) : undefined;
}

function originOf(plan: LaunchPlan, frames: readonly Frame[], gpa: number): Origin | undefined {
  const index = frames.find((frame) => frame.entry !== undefined)?.entry;
  const entry = index === undefined ? undefined : plan.entries[index];
  if (index === undefined || !entry) return undefined;
  const update = plan.updates.find((u) => u.entry === index && gpa >= u.gpa && gpa < u.gpa + u.length);
  return update
    ? { entry: index, at: update.at, label: originLabel(entry.label, update.label, plan.file) }
    : { entry: index, at: entry.at, label: entry.label };
}

/** The part of the entry in brackets, unless the entry names it already; files without the way to them. */
function originLabel(entry: string, part: string, manifest: string): string {
  const short = isAbsolute(part) ? shortPath(part, manifest) : part;
  return entry.includes(short) ? entry : `${entry} (${short})`;
}

function firmwareValue(fault: Fault | undefined): number {
  for (let f = fault; f; f = f.cause) if (f.code.kind === 'firmware') return f.code.value;
  return 0;
}
