import { PAGES_PER_2M, type Pfn } from '../../engine/address.js';
import type { Machine } from '../../engine/machine.js';
import type { RmpRun } from './rmp-ranges.js';

/**
 * Runs of each 2 MiB region as they were last asked for. A guest of 512 MiB has 131072 entries: to look at all of them
 * after each step would take longer than the step.
 */
export interface RmpRunsCache {
  readonly chunks: Map<number, readonly RmpRun[]>;
  /** Regions that have changed since. */
  readonly touched: Set<number>;
  /** Regions with pages that are marked as changed: at the next stop they are not any more. */
  readonly marked: Set<number>;
  /** Changes of entries that events have told. */
  told: number;
  /** Rmp.revision, Track.shownRevision and `told` when the cache was right. */
  revision: number;
  shown: number;
  toldThen: number;
  initialised: boolean;
}

export function createRmpRunsCache(): RmpRunsCache {
  const then = { revision: 0, shown: 0, toldThen: 0, initialised: false };
  return { chunks: new Map(), touched: new Set(), marked: new Set(), told: 0, ...then };
}

export function noteRmpChange(cache: RmpRunsCache, frame: Pfn): void {
  cache.told++;
  cache.touched.add(Math.floor(frame / PAGES_PER_2M));
}

/** Forgets what has changed; everything, if the table has changed in a way that no event has told. */
export function dropStaleRuns(cache: RmpRunsCache, { rmp }: Machine, shown: number): void {
  const changes = rmp.revision - cache.revision;
  const isComplete = changes === cache.told - cache.toldThen && cache.initialised === rmp.initialised;
  if (!isComplete) cache.chunks.clear();
  for (const index of cache.touched) cache.chunks.delete(index);
  cache.touched.clear();
  if (cache.shown !== shown) {
    for (const index of cache.marked) cache.chunks.delete(index);
    cache.marked.clear();
  }
  cache.shown = shown;
  cache.revision = rmp.revision;
  cache.toldThen = cache.told;
  cache.initialised = rmp.initialised;
}
