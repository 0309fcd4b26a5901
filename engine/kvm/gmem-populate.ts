import { type Gfn, gfn, gpaOf, hex, PAGE_SIZE } from '../address.js';
import { defineFault, type Fault } from '../fault.js';
import type { Machine } from '../machine.js';
import { errno } from '../spec/errno.js';
import type { Op } from '../timeline/event.js';
import { isPrivate } from './ioctl/kvm-set-memory-attributes.js';
import { kvmGmemFreeFolios } from './mmu/kvm-gmem-free-folios.js';
import { kvmGmemGetFolio, kvmGmemRemoveFolio } from './mmu/kvm-gmem-get-folio.js';
import { type IoctlResult, refuse } from './result.js';
import { PAGE_NOT_PRIVATE, type SevGmemPopulateArgs, sevGmemPostPopulate } from './sev-gmem-post-populate.js';
import { NO_MEMORY } from './snp-safe-alloc-page.js';
import type { GmemFolio, GuestMemfd, KvmVm, MemorySlot } from './state.js';

export const POPULATE_EXISTS = defineFault<{ gpa: string; how: string }>({
  check: 'kvm-populate-exists',
  layer: 'kvm',
  command: 'kvm_gmem_populate',
  code: errno('EEXIST'),
  title: 'Page launched already',
  message: (o) => `The page at ${o.gpa} is ${o.how} guest_memfd already.`,
  why: 'A page can be launched once: it is encrypted then, and its content is part of the launch digest. Two updates that overlap fail at the first common page.',
  hint: 'Change the address or the length of one of the two updates, so that each page is launched once.',
  reference: 'Linux virt/kvm/guest_memfd.c kvm_gmem_populate()',
  confirmed: true,
});

export interface Populated {
  /** Pages done; negative: -errno of the first page. */
  readonly count: number;
  readonly fwError: number;
  readonly fault?: Fault;
}

/**
 * kvm_gmem_populate(): page by page, clipped to the slot. An error after at least one page is swallowed: the
 * count of the finished pages is returned.
 */
export function* kvmGmemPopulate(
  machine: Machine,
  vm: KvmVm,
  slot: MemorySlot,
  gmem: GuestMemfd,
  first: Gfn,
  source: number,
  pages: number,
  populate: SevGmemPopulateArgs,
): Op<Populated> {
  const profile = machine.kvmProfile;
  const count = Math.min(slot.pages - (first - slot.gfn), pages);
  for (let i = 0; i < count; i++) {
    const frame = gfn(first + i);
    const index = slot.gmemPage + (frame - slot.gfn);
    let result: IoctlResult;
    const present = gmem.folios.get(index);
    // A page that came with a large folio has not been asked for yet.
    const refused = present?.prepared || (profile.populateRefusesPresent && !present?.isHuge);
    if (present && refused) {
      const how = present.prepared ? 'launched in' : 'allocated in';
      result = refuse(POPULATE_EXISTS, { gpa: hex(gpaOf(frame)), how });
    } else {
      const folio = present ?? kvmGmemGetFolio(machine, gmem, index);
      if (!folio) result = refuse(NO_MEMORY, { use: `guest_memfd page for ${hex(gpaOf(frame))}` });
      else if (profile.attributeCheckInPopulate && !isPrivate(vm, frame, gfn(frame + 1))) {
        result = refuse(PAGE_NOT_PRIVATE, { gpa: hex(gpaOf(frame)) });
      } else {
        const address = source === 0 ? 0 : source + i * PAGE_SIZE;
        result = yield* sevGmemPostPopulate(machine, vm, frame, folio.pfn, address, populate);
        if (result.ret === 0) folio.prepared = true;
        else if (profile.populateFailurePunches) yield* punch(machine, gmem, index, folio);
      }
    }
    if (result.ret !== 0) return i > 0 ? done(i) : { count: result.ret, fwError: result.fwError, fault: result.fault };
  }
  return done(count);
}

function done(count: number): Populated {
  return { count, fwError: 0 };
}

/** Takes the page out of the file again; a page that is leaked already stays so. */
function* punch(machine: Machine, gmem: GuestMemfd, index: number, folio: GmemFolio): Op<void> {
  kvmGmemRemoveFolio(gmem, index);
  yield* kvmGmemFreeFolios(machine, [folio.pfn]);
}
