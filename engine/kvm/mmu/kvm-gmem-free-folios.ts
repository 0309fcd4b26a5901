import { type Pfn, pfn } from '../../address.js';
import type { Fault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { freePage } from '../../memory/system-memory.js';
import type { Op } from '../../timeline/event.js';
import { snpLeakPages } from '../rmp-helpers.js';
import { sevGmemInvalidate } from './sev-gmem-invalidate.js';

/**
 * kvm_gmem_free_folio() for pages that have left their file: gmem_invalidate for each run of frames, then the pages are
 * free. The faults of those that are not. Linux frees a page that it could not make shared all the same; whoever gets
 * it next takes the #PF. Here it is leaked, as after every other failure of this kind.
 */
export function* kvmGmemFreeFolios(machine: Machine, frames: readonly Pfn[]): Op<readonly Fault[]> {
  const faults: Fault[] = [];
  const leaked = new Set(machine.kvm.leaked);
  const sorted = frames.filter((frame) => !leaked.has(frame)).sort((a, b) => a - b);
  for (let i = 0; i < sorted.length; ) {
    const start = sorted[i] as Pfn;
    let end = start + 1;
    for (i++; sorted[i] === end; i++) end++;
    const failed = new Map<number, Fault>();
    for (const each of yield* sevGmemInvalidate(machine, start, pfn(end))) {
      for (let frame: number = each.pfn; frame < each.pfn + each.pages; frame++) failed.set(frame, each.fault);
      faults.push(each.fault);
    }
    for (let frame: number = start; frame < end; frame++) {
      if (failed.has(frame)) yield* snpLeakPages(machine, pfn(frame));
      else freePage(machine.memory, pfn(frame));
    }
  }
  return faults;
}
