import { type Gpa, PAGE_SIZE, PAGES_PER_2M, type Pfn } from '../address.js';
import type { Fault } from '../fault.js';
import { NPF, npfAccessBits } from '../spec/npf-error.js';
import { type AccessRule, accessFault } from './access-faults.js';
import { HYPERVISOR_ENTRY } from './entry.js';
import { assignedPageOf, isHypervisorOwned } from './hypervisor-owned.js';
import { effectiveEntry, isCovered, RMP_ENTRY_SIZE, type Rmp } from './table.js';
import type { Vmpl } from './vmpl.js';

export type { Vmpl };

/** One access of an SNP-active guest, after guest paging and the nested walk have let it pass. */
export interface GuestAccess {
  readonly asid: number;
  readonly vmpl: Vmpl;
  /** Page of the access, C-bit stripped. */
  readonly gpa: Gpa;
  readonly kind: 'read' | 'write' | 'execute';
  /** The access counts as one of CPL 3; matters for fetches only. */
  readonly user: boolean;
  /** Effective C-bit; fetches and page-table accesses are always private. */
  readonly encrypted: boolean;
  /** The access is one of the guest page-table walk: `read` of an entry, `write` of its A and D bits. */
  readonly walk: boolean;
  /** The nested page table maps the page with 2 MiB or more. */
  readonly nptPageSize2M: boolean;
}

export type AccessVerdict =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** The first check that failed. */
      readonly rule: AccessRule;
      readonly outcome: 'npf' | 'vc';
      /** EXITINFO1 of the #VMEXIT(NPF), or the error code of #VC. */
      readonly errorCode: number;
      /** Why, in words: made from the entry as it was at the access. */
      fault(): Fault;
    };

/** Error code of #VC for a page that the guest has not validated; CR2 is the guest virtual address. */
export const PAGE_NOT_VALIDATED = 0x404;

const ALLOWED: AccessVerdict = Object.freeze({ ok: true });

/** Bits of a VMPL mask. */
const READ = 1;
const WRITE = 2;
const EXECUTE_USER = 4;
const EXECUTE_SUPERVISOR = 8;

/**
 * What the mask of the VMPL must allow. Write without read is no permission at all, hence both for a write. That a
 * walk needs the right to write only where it sets A or D is not confirmed.
 */
export function neededPermissions(access: Pick<GuestAccess, 'kind' | 'user' | 'walk'>): number {
  if (access.kind === 'write') return READ + WRITE;
  if (access.kind === 'read' || access.walk) return READ;
  return access.user ? EXECUTE_USER : EXECUTE_SUPERVISOR;
}

/**
 * The RMP checks of an access of an SNP-active guest to system page `frame`, in the order of AMD64 APM vol. 2,
 * 15.36.10, tables 15-38 and 15-39. They come after all checks of guest and nested paging. Allocates nothing when
 * the access passes.
 */
export function checkGuestAccess(rmp: Rmp, frame: Pfn, access: GuestAccess): AccessVerdict {
  if (!access.encrypted && !access.walk && access.kind !== 'execute') {
    if (access.kind !== 'write' || isHypervisorOwned(rmp, frame, access.nptPageSize2M)) return ALLOWED;
    return refuse('hypervisor-owned', rmp, frame, access);
  }
  if (!isCovered(rmp, frame)) return refuse('covered', rmp, frame, access);
  const index = frame % PAGES_PER_2M;
  const chunk = rmp.chunks.get((frame - index) / PAGES_PER_2M);
  if (!chunk) return refuse('guest-owned', rmp, frame, access);
  // The entry as raw words: entry.ts has the format. Inside a 2 MiB page the head entry governs.
  const in2M = (chunk.getUint8(0) & 3) === 3;
  const offset = in2M ? 0 : index * RMP_ENTRY_SIZE;
  const low = chunk.getUint32(offset, true);
  const high = chunk.getUint32(offset + 4, true);
  if ((low & 1) === 0 || ((high >>> 19) & 0x3ff) !== access.asid) return refuse('guest-owned', rmp, frame, access);
  const entryFrame = (high & 0x7_ffff) * 0x10_0000 + (low >>> 12) + (in2M ? index : 0);
  if (entryFrame !== Math.floor(access.gpa / PAGE_SIZE)) return refuse('reverse-map', rmp, frame, access);
  if ((low & 4) !== 0) return refuse('mutable', rmp, frame, access);
  if (((low & 2) !== 0) !== access.nptPageSize2M) return refuse('page-size', rmp, frame, access);
  if ((high & 0x4000_0000) === 0) return refuse('validated', rmp, frame, access);
  const needed = neededPermissions(access);
  if ((chunk.getUint8(offset + 8 + access.vmpl) & needed) !== needed) return refuse('vmpl', rmp, frame, access);
  return ALLOWED;
}

function refuse(rule: AccessRule, rmp: Rmp, frame: Pfn, access: GuestAccess): AccessVerdict {
  // A 2 MiB write is refused for the sake of one page in it: tell of that one.
  const cause = rule === 'hypervisor-owned' && access.nptPageSize2M ? assignedPageOf(rmp, frame) : frame;
  const facts = {
    access,
    frame,
    cause,
    entry: isCovered(rmp, cause) ? effectiveEntry(rmp, cause) : HYPERVISOR_ENTRY,
    initialised: rmp.initialised,
    coveredBytes: rmp.coveredPages * PAGE_SIZE,
  };
  const outcome = rule === 'validated' ? 'vc' : 'npf';
  const errorCode =
    rule === 'validated'
      ? PAGE_NOT_VALIDATED
      : NPF.P + NPF.RMP + npfAccessBits(access) + (rule === 'vmpl' ? NPF.VMPL : 0);
  return { ok: false, rule, outcome, errorCode, fault: () => accessFault(rule, facts, errorCode) };
}
