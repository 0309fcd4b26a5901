import { hex } from '../../address.js';
import type { Op } from '../../timeline/event.js';
import { inKernel } from '../result.js';
import type { ExitHandling } from '../run/kvm-exit.js';
import { readPscHeader } from './psc-buffer.js';
import type { BeginPsc } from './psc-range.js';
import { setupVmgexitScratch } from './setup-vmgexit-scratch.js';
import { snpBeginPscMerged } from './snp-begin-psc-merged.js';
import { snpBeginPscFixup, snpBeginPscV15 } from './snp-begin-psc-v15.js';
import type { Vmgexit } from './vmgexit.js';

const ALGORITHMS: Readonly<Record<'v15' | 'v15+fixes' | '6.11', BeginPsc>> = {
  v15: snpBeginPscV15,
  'v15+fixes': snpBeginPscFixup,
  '6.11': snpBeginPscMerged,
};

/**
 * Event PSC: the list of page state changes at SW_SCRATCH. KVM joins neighbouring entries to ranges, and exits to the
 * VMM for each of them (KVM_EXIT_HYPERCALL, MAP_GPA_RANGE); the result is in SW_EXITINFO2, progress in the list.
 */
export function* snpPageStateChange(v: Vmgexit): Op<ExitHandling> {
  // Guests pass 0 as the length, so this does not check it.
  const refused = yield* setupVmgexitScratch(v, true, v.exit.exitInfo2);
  if (refused) return refused;
  const header = readPscHeader(v);
  const entries = header ? `${header.curEntry} to ${header.endEntry}` : 'none';
  const begin = ALGORITHMS[v.machine.kvmProfile.pscAlgorithm];
  return yield* inKernel(v.machine, 'snp_begin_psc', { list: hex(v.exit.scratch), entries }, () =>
    begin(v, { unset: 0 }),
  );
}
