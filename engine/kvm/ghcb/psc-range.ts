import { hex } from '../../address.js';
import { type Fault, type FaultDefinition, makeFault, type Operands } from '../../fault.js';
import { PSC_OPERATION, PSC_RESULT, type PscResultName } from '../../spec/ghcb-layout.js';
import type { Op } from '../../timeline/event.js';
import { inKernel } from '../result.js';
import { type ExitHandling, RESUME, TO_USERSPACE } from '../run/kvm-exit.js';
import type { PscState } from '../state.js';
import { mapGpaRange } from './map-gpa-range.js';
import { type PscEntry, readPscEntry, writeCurEntry, writeCurPage } from './psc-buffer.js';
import { PSC_BUFFER, PSC_USERSPACE } from './psc-faults.js';
import { refusedRequest, type Vmgexit, vmgexitSuccess } from './vmgexit.js';

/** What the algorithms of snp_begin_psc() have in common. */

/** snp_begin_psc(): exits to the VMM for the next range, or answers the guest. */
export type BeginPsc = (v: Vmgexit, request: PscRequest) => Op<ExitHandling>;

/** One request of the guest, over all its exits. */
export interface PscRequest {
  /** Exits for a range that was never set, since the last one for a real range. */
  unset: number;
}

/** psc_idx, psc_inflight and psc_2m of the vCPU. */
export function pscState({ arch }: Vmgexit): PscState {
  arch.psc ??= { index: 0, inflight: 0, is2M: false };
  return arch.psc;
}

/** The request is over: the result goes to SW_EXITINFO2, with SW_EXITINFO1 0. */
export function finishPsc(v: Vmgexit, result: PscResultName, fault?: Fault): ExitHandling {
  v.arch.psc = undefined;
  vmgexitSuccess(v, PSC_RESULT[result]);
  if (fault) return refusedRequest(fault);
  return RESUME;
}

/** The same with the result that the fault has as its code. */
export function refusePsc<O extends Operands>(v: Vmgexit, definition: FaultDefinition<O>, operands: O): ExitHandling {
  const { code } = definition;
  const name = code.kind === 'ghcb' && code.name in PSC_RESULT ? (code.name as PscResultName) : 'GENERIC';
  return finishPsc(v, name, makeFault(definition, operands));
}

/** The entry, or the answer because it does not lie in the buffer. */
export function entryAt(v: Vmgexit, index: number): PscEntry | { readonly refusal: ExitHandling } {
  const entry = readPscEntry(v, index);
  return entry ?? { refusal: refusePsc(v, PSC_BUFFER, { entry: index, address: hex(v.exit.scratch) }) };
}

export const isRefusal = <T extends object>(
  value: T | { readonly refusal: ExitHandling },
): value is { readonly refusal: ExitHandling } => 'refusal' in value;

/** Why an entry is wrong; the merged form also looks at the frame of 4 KiB entries, which is always aligned. */
export function entryProblem({ curPage, gfn, is2M }: PscEntry): string | undefined {
  const pages = is2M ? 512 : 1;
  if (curPage > pages) return `cur_page is ${curPage}, but the page has ${pages === 1 ? 'only one' : `only ${pages}`}`;
  if (gfn % pages !== 0) return `frame ${hex(gfn)} is not a multiple of 512`;
  return undefined;
}

/** KVM_EXIT_HYPERCALL. The hint "2M" follows the first entry, even if only a part of it is left. */
export function exitForRange(
  v: Vmgexit,
  gpa: bigint,
  pages: number,
  first: PscEntry,
  name: 'snp_complete_psc' | 'snp_complete_one_psc',
  done: () => Op<ExitHandling>,
  fault?: Fault,
): ExitHandling {
  const range = mapGpaRange(gpa, BigInt(pages), first.operation === PSC_OPERATION.PRIVATE, first.is2M);
  const exit = fault ? { ...range, fault } : range;
  v.arch.exit = exit;
  v.arch.complete = () => {
    const answer = { gpa: hex(gpa), pages: String(pages), ret: hex(exit.ret) };
    return inKernel(v.machine, name, answer, () => (exit.ret === 0n ? done() : userspaceRefused(v, answer)));
  };
  return fault ? { ...TO_USERSPACE, fault } : TO_USERSPACE;
}

// biome-ignore lint/correctness/useYield: a handler like the others.
function* userspaceRefused(v: Vmgexit, answer: { gpa: string; pages: string; ret: string }): Op<ExitHandling> {
  return refusePsc(v, PSC_USERSPACE, answer);
}

/** Everything in flight is done: cur_page of each entry, and cur_entry behind them. */
export function markDone(v: Vmgexit, curPage: (entry: PscEntry) => number): void {
  const state = pscState(v);
  let index = state.index;
  for (; state.inflight > 0; state.inflight--, index++) {
    const entry = readPscEntry(v, index);
    if (entry) writeCurPage(v, index, curPage(entry));
  }
  writeCurEntry(v, index);
}

/** By the size of the entry itself. */
export const wholePage = ({ is2M }: PscEntry): number => (is2M ? 512 : 1);
