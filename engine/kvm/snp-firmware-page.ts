import type { Pfn } from '../address.js';
import type { Fault } from '../fault.js';
import type { Machine } from '../machine.js';
import { allocPage, freePage } from '../memory/system-memory.js';
import type { Op } from '../timeline/event.js';
import { type IoctlResult, refuse } from './result.js';
import { rmpMarkPageFirmware, snpLeakPages, snpReclaimAndShare } from './rmp-helpers.js';
import { NO_MEMORY } from './snp-safe-alloc-page.js';

/**
 * Pages that the firmware may write. Without SNP_INIT they are ordinary pages: no RMPUPDATE, nothing to reclaim.
 * Linux drivers/crypto/ccp/sev-dev.c __snp_alloc_firmware_pages(), __snp_free_firmware_pages().
 */

/** snp_alloc_firmware_page(): `ret` is the page frame. */
export function* snpAllocFirmwarePage(machine: Machine, use: string): Op<IoctlResult> {
  const page = allocPage(machine.memory, use);
  if (page === undefined) return refuse(NO_MEMORY, { use });
  if (machine.asp.platform === 'INIT') {
    const marked = yield* rmpMarkPageFirmware(machine, page);
    if (marked.fault) {
      yield* snpLeakPages(machine, page);
      return marked;
    }
  }
  return { ret: page, fwError: 0 };
}

/** snp_free_firmware_page(). The fault because of which the page is lost. */
export function* snpFreeFirmwarePage(machine: Machine, page: Pfn): Op<Fault | undefined> {
  const fault = machine.asp.platform === 'INIT' ? yield* snpReclaimAndShare(machine, page) : undefined;
  if (!fault) freePage(machine.memory, page);
  return fault;
}
