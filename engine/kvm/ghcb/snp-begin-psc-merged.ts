import { hex } from '../../address.js';
import { PSC_MAX_COUNT } from '../../spec/ghcb-layout.js';
import type { Op } from '../../timeline/event.js';
import type { ExitHandling } from '../run/kvm-exit.js';
import { hasHypercallExit, KVM_HC_MAP_GPA_RANGE } from './map-gpa-range.js';
import { describePscEntry, isConversion, type PscEntry, readPscHeader, writeCurEntry } from './psc-buffer.js';
import { PSC_BUFFER, PSC_ENTRY, PSC_HEADER, PSC_IN_FLIGHT, PSC_NO_EXIT } from './psc-faults.js';
import {
  entryAt,
  entryProblem,
  exitForRange,
  finishPsc,
  isRefusal,
  markDone,
  type PscRequest,
  pscState,
  refusePsc,
  wholePage,
} from './psc-range.js';
import type { Vmgexit } from './vmgexit.js';

/** snp_begin_psc() as merged into Linux 6.11. */
export function* snpBeginPscMerged(v: Vmgexit, request: PscRequest): Op<ExitHandling> {
  if (!hasHypercallExit(v.vm, KVM_HC_MAP_GPA_RANGE)) return refusePsc(v, PSC_NO_EXIT, {});
  for (;;) {
    const state = pscState(v);
    if (state.inflight > 0) return refusePsc(v, PSC_IN_FLIGHT, { entries: state.inflight });
    const header = readPscHeader(v);
    if (!header) return refusePsc(v, PSC_BUFFER, { entry: 0, address: hex(v.exit.scratch) });
    const { curEntry, endEntry } = header;
    if (endEntry >= PSC_MAX_COUNT) return refusePsc(v, PSC_HEADER, { end: endEntry, limit: PSC_MAX_COUNT - 1 });

    let first: PscEntry | undefined;
    let index = curEntry;
    let gfn = 0;
    let pages = 0;
    let is2M = false;
    for (; index <= endEntry; index++, writeCurEntry(v, index)) {
      const entry = entryAt(v, index);
      if (isRefusal(entry)) return entry.refusal;
      const problem = entryProblem(entry);
      if (problem) return refusePsc(v, PSC_ENTRY, { entry: index, what: describePscEntry(entry), problem });
      // What is left of a 2 MiB page that is done in part counts as single pages.
      pages = wholePage(entry) - entry.curPage;
      gfn = entry.gfn + entry.curPage;
      is2M = entry.is2M && entry.curPage === 0;
      if (pages > 0) {
        first = entry;
        break;
      }
    }
    if (!first) return finishPsc(v, 'DONE');

    state.is2M = is2M;
    state.index = index;
    state.inflight = 1;
    while (++index <= endEntry) {
      const entry = entryAt(v, index);
      if (isRefusal(entry)) return entry.refusal;
      // Compared with the frame of the first entry, not with the first page that is left of it.
      const follows = entry.operation === first.operation && entry.gfn === first.gfn + pages;
      if (!follows || entry.curPage !== 0 || entry.is2M !== is2M) break;
      state.inflight++;
      pages += is2M ? 512 : 1;
    }
    if (isConversion(first)) {
      const gpa = BigInt(gfn) << 12n;
      return exitForRange(v, gpa, pages, first, 'snp_complete_one_psc', () => {
        markDone(v, wholePage);
        return snpBeginPscMerged(v, request);
      });
    }
    // PSMASH and UNSMASH are not made; they count as done.
    markDone(v, wholePage);
  }
}
