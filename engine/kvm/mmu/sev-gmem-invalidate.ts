import { hex, PAGES_PER_2M, type Pfn, pfn as toPfn } from '../../address.js';
import type { Fault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { logEvent, type Op } from '../../timeline/event.js';
import { rmpMakeShared, snpLookupRmpentry } from '../rmp-helpers.js';
import { snpRmptablePsmash } from '../snp-rmptable-psmash.js';

/** `pages`: 1, or 512 if the entry is one of 2 MiB. */
export interface NotShared {
  readonly pfn: Pfn;
  readonly pages: number;
  readonly fault: Fault;
}

/**
 * kvm_arch_gmem_invalidate(): the pages [start, end) of guest_memfd go back to the hypervisor. The pages that could
 * not be made shared; Linux warns and goes on. CLFLUSH has no state of its own here. Linux arch/x86/kvm/svm/sev.c
 * sev_gmem_invalidate().
 */
export function* sevGmemInvalidate(machine: Machine, start: Pfn, end: Pfn): Op<readonly NotShared[]> {
  const failed: NotShared[] = [];
  let step = 1;
  for (let frame = start; frame < end; frame = toPfn(frame + step)) {
    step = 1;
    const lookup = snpLookupRmpentry(machine, frame);
    if (!lookup.ok || !lookup.assigned) continue;
    const use2M = frame % PAGES_PER_2M === 0 && end >= frame + PAGES_PER_2M && lookup.level2M;
    if (lookup.level2M && !use2M) {
      const code = yield* snpRmptablePsmash(machine, frame);
      if (code !== 0) {
        yield logEvent(
          machine.stack,
          'kvm',
          `WARNING: sev_gmem_invalidate: PSMASH failed for PFN ${hex(frame)}: ${code}`,
        );
      }
    }
    const shared = yield* rmpMakeShared(machine, frame, use2M);
    if (shared.fault) {
      yield logEvent(machine.stack, 'kvm', `WARNING: sev_gmem_invalidate: PFN ${hex(frame)} stays private`);
      failed.push({ pfn: frame, pages: use2M ? PAGES_PER_2M : 1, fault: shared.fault });
    }
    step = use2M ? PAGES_PER_2M : 1;
  }
  return failed;
}
