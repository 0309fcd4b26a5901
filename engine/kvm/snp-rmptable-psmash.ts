import type { Pfn } from '../address.js';
import type { Machine } from '../machine.js';
import { INSTRUCTION_CODE } from '../rmp/instruction.js';
import { psmash } from '../rmp/psmash.js';
import { headOf } from '../rmp/table.js';
import { logEvent, type Op } from '../timeline/event.js';

/** After so many times the emulated host takes the entry as locked for ever; Linux would go on. */
const PATIENCE = 1000;

/**
 * PSMASH of the 2 MiB around a frame, repeated as long as another processor or the firmware is at the entry
 * (FAIL_INUSE). 0, or the code of the instruction. Linux arch/x86/kvm/svm/sev.c snp_rmptable_psmash(), and the loop
 * around psmash() in sev_gmem_invalidate() and sev_handle_rmp_fault().
 */
export function* snpRmptablePsmash(machine: Machine, frame: Pfn): Op<number> {
  for (let attempt = 1; ; attempt++) {
    const { code } = yield* psmash(machine, headOf(frame));
    if (code === INSTRUCTION_CODE.SUCCESS) return 0;
    if (code !== INSTRUCTION_CODE.FAIL_INUSE || attempt === PATIENCE) return code;
    yield logEvent(machine.stack, 'kvm', `PSMASH of PFN 0x${headOf(frame).toString(16)}: in use, again`);
  }
}
