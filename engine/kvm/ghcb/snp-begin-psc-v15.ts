import { hex } from '../../address.js';
import { makeFault } from '../../fault.js';
import { PSC_MAX_COUNT } from '../../spec/ghcb-layout.js';
import type { Op } from '../../timeline/event.js';
import { type ExitHandling, TO_USERSPACE } from '../run/kvm-exit.js';
import { hasHypercallExit, KVM_HC_MAP_GPA_RANGE } from './map-gpa-range.js';
import { describePscEntry, isConversion, type PscEntry, readPscHeader, writeCurEntry } from './psc-buffer.js';
import {
  PSC_BUFFER,
  PSC_ENDLESS,
  PSC_ENTRY,
  PSC_HEADER,
  PSC_IN_FLIGHT,
  PSC_NO_EXIT,
  PSC_RECURSION,
  PSC_UNINITIALISED,
} from './psc-faults.js';
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
import { failRun, type Vmgexit } from './vmgexit.js';

/** Exits for a range that was never set after which the loop counts as endless: nothing changes from one to the next. */
const ENDLESS = 3;

/** snp_begin_psc() as posted in patch 10/20 of the series v15, with its bugs. */
export const snpBeginPscV15 = (v: Vmgexit, request: PscRequest): Op<ExitHandling> => begin(v, request, false);

/** The same with the fix-up as posted (23/23), which mends most of them. */
export const snpBeginPscFixup = (v: Vmgexit, request: PscRequest): Op<ExitHandling> => begin(v, request, true);

function* begin(v: Vmgexit, request: PscRequest, fixup: boolean): Op<ExitHandling> {
  const state = pscState(v);
  if (state.inflight > 0) return refusePsc(v, PSC_IN_FLIGHT, { entries: state.inflight });
  if (!hasHypercallExit(v.vm, KVM_HC_MAP_GPA_RANGE)) return refusePsc(v, PSC_NO_EXIT, {});
  const header = readPscHeader(v);
  if (!header) return refusePsc(v, PSC_BUFFER, { entry: 0, address: hex(v.exit.scratch) });
  const { curEntry: startEntry, endEntry } = header;
  if (endEntry >= PSC_MAX_COUNT) return refusePsc(v, PSC_HEADER, { end: endEntry, limit: PSC_MAX_COUNT - 1 });
  if (startEntry > endEntry) return finishPsc(v, 'DONE');

  // Not set in the kernel until a range is found.
  let gpa = 0n;
  let pages = 0;
  let first: PscEntry | undefined;
  for (;;) {
    let found = false;
    for (let index = startEntry; index <= endEntry; index++, advance(v)) {
      const entry = entryAt(v, index);
      if (isRefusal(entry)) return entry.refusal;
      first = entry;
      if (!fixup && !isConversion(entry)) continue;
      const problem = entryProblem(entry);
      if (problem) return refusePsc(v, PSC_ENTRY, { entry: index, what: describePscEntry(entry), problem });
      if (entry.curPage === wholePage(entry)) continue;
      state.is2M = entry.curPage === 0 && entry.is2M;
      state.index = index;
      state.inflight = 1;
      gpa = BigInt(entry.gfn + entry.curPage) << 12n;
      pages = wholePage(entry) - entry.curPage;
      found = true;
      break;
    }
    if (!first) throw new Error('a list of page state changes without entries');

    let next = state.index + 1;
    for (; next <= endEntry; next++) {
      const entry = entryAt(v, next);
      if (isRefusal(entry)) return entry.refusal;
      const follows = entry.operation === first.operation && entry.gfn === first.gfn + pages;
      if (!follows || entry.is2M !== state.is2M || (fixup && entry.curPage !== 0)) break;
      state.inflight++;
      pages += wholePage(first);
    }

    if (!fixup || isConversion(first)) return exit(v, request, fixup, gpa, pages, first, found);
    if (next > endEntry) {
      if (state.inflight === 0) return failRun(PSC_RECURSION, { last: describePscEntry(first) });
      return yield* complete(v, request, fixup);
    }
    markDone(v, wholePage);
  }
}

/** hdr->cur_entry++ */
function advance(v: Vmgexit): void {
  const header = readPscHeader(v);
  if (header) writeCurEntry(v, header.curEntry + 1);
}

function exit(
  v: Vmgexit,
  request: PscRequest,
  fixup: boolean,
  gpa: bigint,
  pages: number,
  first: PscEntry,
  found: boolean,
): ExitHandling {
  request.unset = found ? 0 : request.unset + 1;
  if (request.unset >= ENDLESS) {
    const fault = makeFault(PSC_ENDLESS, { exits: request.unset - 1 });
    v.arch.exit = { reason: 'emulator', fault };
    return { ...TO_USERSPACE, fault };
  }
  const fault = found ? undefined : makeFault(PSC_UNINITIALISED, { last: describePscEntry(first) });
  return exitForRange(v, gpa, pages, first, 'snp_complete_psc', () => complete(v, request, fixup), fault);
}

/** snp_complete_psc(): v15 goes by psc_2m, which is false for a 2 MiB page that was done in part. */
function* complete(v: Vmgexit, request: PscRequest, fixup: boolean): Op<ExitHandling> {
  const { is2M } = pscState(v);
  markDone(v, fixup ? wholePage : () => (is2M ? 512 : 1));
  return yield* begin(v, request, fixup);
}
