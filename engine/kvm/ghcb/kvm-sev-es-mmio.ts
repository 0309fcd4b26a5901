import type { Op } from '../../timeline/event.js';
import { type ExitHandling, RESUME, TO_USERSPACE } from '../run/kvm-exit.js';
import { readScratch, setupVmgexitScratch, writeScratch } from './setup-vmgexit-scratch.js';
import type { Vmgexit } from './vmgexit.js';

/**
 * kvm_sev_es_mmio_read(), kvm_sev_es_mmio_write(): SW_EXITINFO1 is the address, SW_EXITINFO2 the length, the data lies
 * in the scratch area. Userspace gets pieces of at most 8 bytes. Linux arch/x86/kvm/x86.c.
 */
export function* kvmSevEsMmio(v: Vmgexit, isWrite: boolean): Op<ExitHandling> {
  const length = v.exit.exitInfo2;
  const refused = yield* setupVmgexitScratch(v, !isWrite, length);
  if (refused) return refused;
  return length === 0n ? RESUME : piece(v, isWrite, 0, Number(length));
}

function piece(v: Vmgexit, isWrite: boolean, offset: number, left: number): ExitHandling {
  const length = Math.min(8, left);
  const gpa = Number(BigInt.asUintN(64, v.exit.exitInfo1 + BigInt(offset)));
  const data = (isWrite ? readScratch(v, offset, length) : undefined) ?? new Uint8Array(length);
  const exit = { reason: 'KVM_EXIT_MMIO', gpa, length, isWrite, data } as const;
  v.arch.exit = exit;
  // biome-ignore lint/correctness/useYield: a handler like the others.
  v.arch.complete = function* () {
    if (!isWrite) writeScratch(v, offset, exit.data);
    return left === length ? RESUME : piece(v, isWrite, offset + length, left - length);
  };
  return TO_USERSPACE;
}
