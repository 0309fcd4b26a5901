import { type Gfn, gfn, gpaOf, hex, hva, PAGE_SIZE, PAGES_PER_2M, type Pfn, pfn } from '../../address.js';
import { type NestedPageTable, type NptEntry, nptLookup, nptMap, nptZap } from '../../cpu/svm/nested-page-table.js';
import { defineFault, makeFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { userPageFrame } from '../../memory/user-memory.js';
import { headOf } from '../../rmp/table.js';
import { errno } from '../../spec/errno.js';
import type { Op } from '../../timeline/event.js';
import { isPrivate } from '../ioctl/kvm-set-memory-attributes.js';
import { refuse } from '../result.js';
import { type ExitHandling, RESUME } from '../run/kvm-exit.js';
import { type KvmVm, type MemorySlot, slotOf, type VcpuRunState } from '../state.js';
import { KVM_MEM_READONLY } from '../uapi/memory-structs.js';
import { kvmGmemGetPfn } from './kvm-gmem-get-pfn.js';
import type { PageFault } from './page-fault.js';
import { sevPrivateMaxMappingLevel } from './sev-gmem-prepare.js';

const REFERENCE = 'Linux arch/x86/kvm/mmu/mmu.c';
const EFAULT = errno('EFAULT');
/** KVM_MEMORY_EXIT_FLAG_PRIVATE. */
export const MEMORY_EXIT_FLAG_PRIVATE = 8;

export const MEMORY_FAULT = defineFault<{ gpa: string; access: string; why: string }>({
  check: 'kvm-memory-fault',
  layer: 'kvm',
  command: 'KVM_RUN',
  code: EFAULT,
  severity: 'information',
  title: 'KVM_EXIT_MEMORY_FAULT',
  message: (o) => `The guest made ${o.access} access to ${o.gpa}, but ${o.why}.`,
  why: 'KVM keeps for each frame whether it is private or shared. An access of the other kind goes to the VMM, which can convert the page (an implicit page state change) and run the guest again, or stop it.',
  hint: 'Let the guest ask for a page state change before it uses the page the other way.',
  reference: `${REFERENCE} kvm_mmu_prepare_memory_fault_exit()`,
  confirmed: true,
});

export const NPF_RESERVED_PRIVATE = defineFault<{ gpa: string }>({
  check: 'kvm-npf-reserved-private',
  layer: 'kvm',
  command: 'kvm_mmu_page_fault',
  code: EFAULT,
  title: 'Private access to MMIO',
  message: (o) => `A private access to ${o.gpa} met a nested page table entry for MMIO.`,
  why: 'Device registers are shared with the host by nature; KVM has no way to emulate a private access to them.',
  hint: 'Map device memory with C-bit 0 in the guest’s page tables.',
  reference: `${REFERENCE} kvm_mmu_page_fault()`,
  confirmed: true,
});

export const NPF_USER_PAGE = defineFault<{ gpa: string; hva: string }>({
  check: 'kvm-npf-user-page',
  layer: 'kvm',
  command: 'kvm_mmu_page_fault',
  code: EFAULT,
  title: 'Shared guest memory not there',
  message: (o) =>
    `The VMM’s memory at ${o.hva}, which the guest shares at ${o.gpa}, is not mapped, or the host is out of memory.`,
  why: 'Shared guest memory is memory of the VMM process: KVM maps the page that the process has there.',
  hint: 'Keep the memory of the slot mapped, and give the host enough memory (host.memory).',
  reference: `${REFERENCE} kvm_handle_error_pfn()`,
  confirmed: true,
});

/** kvm_mmu_page_fault() and what it calls, for a guest with private memory: RESUME, or -errno with an exit. */
export function* kvmMmuPageFault(machine: Machine, vm: KvmVm, arch: VcpuRunState, fault: PageFault): Op<ExitHandling> {
  if (fault.reserved) {
    if (fault.isPrivate) return refuse(NPF_RESERVED_PRIVATE, { gpa: hex(fault.gpa) });
    // KVM would emulate, but cannot for a guest with encrypted state: the guest runs again and gets #VC.
    return RESUME;
  }
  const table = arch.vmcb.nestedPageTable;
  return fastPageFault(machine, vm, table, fault) ? RESUME : yield* faultIn(machine, vm, arch, fault);
}

/** fast_page_fault(): a write that the entry permits by now is taken as spurious. */
function fastPageFault(machine: Machine, vm: KvmVm, table: NestedPageTable, fault: PageFault): boolean {
  if (!fault.present || !fault.write) return false;
  if (!machine.kvmProfile.fastPageFaultIgnoresPrivate && fault.isPrivate !== frameIsPrivate(vm, fault.gfn))
    return false;
  const entry = nptLookup(table, fault.gfn)?.entry;
  return entry?.writable === true && !entry.reserved;
}

/** kvm_faultin_pfn(), then kvm_tdp_mmu_map(). */
function* faultIn(machine: Machine, vm: KvmVm, arch: VcpuRunState, fault: PageFault): Op<ExitHandling> {
  const table = arch.vmcb.nestedPageTable;
  const slot = slotOf(vm, fault.gfn);
  if (fault.isPrivate !== frameIsPrivate(vm, fault.gfn)) {
    return memoryFault(arch, fault, `the frame is ${fault.isPrivate ? 'shared' : 'private'}`);
  }
  if (!slot) {
    if (fault.isPrivate) return memoryFault(arch, fault, 'there is no memory');
    return map(table, fault.gfn, { pfn: pfn(0), writable: false, size2M: false, reserved: true });
  }
  if (!fault.isPrivate) return mapUserPage(machine, table, slot, fault);
  if (slot.gmemFd === undefined) return memoryFault(arch, fault, 'its memory slot has no guest_memfd');
  const page = yield* kvmGmemGetPfn(machine, vm, slot, fault.gfn);
  if (!page.ok) {
    memoryFault(arch, fault, 'KVM cannot provide a private page');
    return page.result;
  }
  return mapPrivatePage(machine, vm, table, fault.gfn, page);
}

/**
 * kvm_max_private_mapping_level(): 2 MiB if the folio has them, all their frames are private, and the RMP entry is as
 * large (the hook private_max_mapping_level, asked for large folios only).
 */
function mapPrivatePage(
  machine: Machine,
  vm: KvmVm,
  table: NestedPageTable,
  frame: Gfn,
  page: { readonly pfn: Pfn; readonly maxOrder: number },
): ExitHandling {
  const head = gfn(frame - (frame % PAGES_PER_2M));
  const end = gfn(head + PAGES_PER_2M);
  const large =
    page.maxOrder >= 9 && isPrivate(vm, head, end) && sevPrivateMaxMappingLevel(machine, vm, page.pfn) === 2;
  if (!large) return map(table, frame, writable(page.pfn));
  // A large entry takes the place of the table of small ones.
  if (!nptLookup(table, frame)?.entry.size2M) nptZap(table, head, end);
  return map(table, head, { ...writable(headOf(page.pfn)), size2M: true });
}

function writable(frame: Pfn): NptEntry {
  return { pfn: frame, writable: true, size2M: false, reserved: false };
}

function mapUserPage(machine: Machine, table: NestedPageTable, slot: MemorySlot, fault: PageFault): ExitHandling {
  const address = hva(slot.userspace + (fault.gfn - slot.gfn) * PAGE_SIZE);
  const frame = userPageFrame(machine.user, machine, address);
  if (frame === undefined) return refuse(NPF_USER_PAGE, { gpa: hex(fault.gpa), hva: hex(address) });
  return map(table, fault.gfn, { ...writable(frame), writable: (slot.flags & KVM_MEM_READONLY) === 0 });
}

function map(table: NestedPageTable, frame: Gfn, entry: NptEntry): ExitHandling {
  const known = nptLookup(table, frame)?.entry;
  const spurious =
    known &&
    known.pfn === entry.pfn &&
    known.writable === entry.writable &&
    known.reserved === entry.reserved &&
    known.size2M === entry.size2M;
  if (!spurious) nptMap(table, frame, entry);
  return RESUME;
}

/** kvm_mem_is_private(). */
function frameIsPrivate(vm: KvmVm, frame: Gfn): boolean {
  return isPrivate(vm, frame, gfn(frame + 1));
}

/** kvm_mmu_prepare_memory_fault_exit(). */
function memoryFault(arch: VcpuRunState, fault: PageFault, why: string): ExitHandling {
  const page = gpaOf(fault.gfn);
  const access = fault.isPrivate ? 'a private' : 'a shared';
  arch.exit = {
    reason: 'KVM_EXIT_MEMORY_FAULT',
    flags: fault.isPrivate ? MEMORY_EXIT_FLAG_PRIVATE : 0,
    gpa: page,
    size: PAGE_SIZE,
    fault: makeFault(MEMORY_FAULT, { gpa: hex(fault.gpa), access, why }),
  };
  return { ret: EFAULT.value, fwError: 0 };
}
