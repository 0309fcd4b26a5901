import { gfn, hex, hva, isPageAligned, PAGE_SIZE } from '../../address.js';
import { nptZap } from '../../cpu/svm/nested-page-table.js';
import { defineFault, type Operands } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { errno } from '../../spec/errno.js';
import type { Op } from '../../timeline/event.js';
import { copyIn, DONE, type IoctlResult, inKernelAtOnce, peek, refuse } from '../result.js';
import type { KvmVm, MemorySlot } from '../state.js';
import {
  decodeMemoryRegion2,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  USERSPACE_MEMORY_REGION2_SIZE,
  type UserspaceMemoryRegion2,
} from '../uapi/memory-structs.js';

const COMMAND = 'KVM_SET_USER_MEMORY_REGION2';
const REFERENCE = 'Linux virt/kvm/kvm_main.c __kvm_set_memory_region()';
const GMEM_BIND = 'Linux virt/kvm/guest_memfd.c kvm_gmem_bind()';

/** KVM_USER_MEM_SLOTS: ids below. Address space 1 (SMM) does not exist for guests with private memory. */
const USER_MEM_SLOTS = 32764;
const U64_MAX = (1n << 64n) - 1n;
/** KVM_MEM_MAX_NR_PAGES: a slot has at most 2^31 - 1 pages, a page less than 8 TiB. */
const MAX_SLOT_SIZE = ((1n << 31n) - 1n) * BigInt(PAGE_SIZE);

export const SLOT_FLAGS = defineFault<{ flags: string; valid: string }>({
  check: 'kvm-slot-flags',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Memory slot flags not valid',
  message: (o) => `The flags ${o.flags} are not allowed here; a slot of this VM may have ${o.valid}.`,
  why: 'A slot with guest_memfd holds memory that the host cannot read: it can be neither read-only nor logged for dirty pages, and only VM types with private memory have such slots. This is why a pflash image (a read-only slot) cannot be the firmware of an SNP guest.',
  hint: 'Use KVM_MEM_GUEST_MEMFD alone, and load the firmware with -bios instead of pflash.',
  reference: 'Linux virt/kvm/kvm_main.c check_memory_region_flags()',
  confirmed: true,
});

export const SLOT_ALIGNMENT = defineFault<{ gpa: string; size: string; userspace: string; offset: string }>({
  check: 'kvm-slot-alignment',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Memory slot not page aligned',
  message: (o) =>
    `One of guest_phys_addr ${o.gpa}, memory_size ${o.size}, userspace_addr ${o.userspace} and guest_memfd_offset ${o.offset} is not a multiple of 4 KiB.`,
  why: 'Guest memory is mapped page by page.',
  hint: 'Align address and size to 4 KiB.',
  reference: REFERENCE,
  confirmed: true,
});

export const SLOT_ID = defineFault<{ slot: string; slots: number }>({
  check: 'kvm-slot-id',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Memory slot id out of range',
  message: (o) => `Slot ${o.slot} is not valid: ids are below ${o.slots}, and the VM has one address space.`,
  why: 'Bits 15:0 are the slot, bits 31:16 the address space. The second address space is for SMM, which SNP guests do not have.',
  hint: 'Use address space 0 and a smaller id.',
  reference: REFERENCE,
  confirmed: true,
});

export const SLOT_WRAP = defineFault<{ gpa: string; size: string }>({
  check: 'kvm-slot-wrap',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Memory slot ends beyond the address space',
  message: (o) => `A slot of ${o.size} bytes at ${o.gpa} ends beyond 2^64.`,
  why: 'The end of the slot must be an address, too.',
  hint: 'Use a smaller size or a lower address.',
  reference: REFERENCE,
  confirmed: true,
});

export const SLOT_SIZE = defineFault<{ size: string; limit: string }>({
  check: 'kvm-slot-size',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Memory slot too large',
  message: (o) => `A slot of ${o.size} bytes is larger than ${o.limit} bytes, the most that KVM takes.`,
  why: 'KVM_MEM_MAX_NR_PAGES: functions that walk the dirty bitmap of a slot count its pages in 31 bits, so a slot is smaller than 8 TiB.',
  hint: 'Give the guest less memory.',
  reference: REFERENCE,
  confirmed: true,
});

export const SLOT_DELETE = defineFault<{ slot: number }>({
  check: 'kvm-slot-delete',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Slot to delete does not exist',
  message: (o) => `Slot ${o.slot} has size 0, which means delete, but there is no such slot.`,
  why: 'A size of 0 deletes a slot.',
  hint: 'Give the slot a size, or do not delete it.',
  reference: REFERENCE,
  confirmed: true,
});

export const SLOT_CHANGE = defineFault<{ slot: number }>({
  check: 'kvm-slot-change',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Slot with guest_memfd cannot be changed',
  message: (o) => `Slot ${o.slot} exists with a guest_memfd; none of its properties can be changed.`,
  why: 'Private memory cannot be moved to another guest address or file: the RMP entries name the old address.',
  hint: 'Delete the slot and create it anew.',
  reference: REFERENCE,
  confirmed: true,
});

export const SLOT_OVERLAP = defineFault<{ slot: number; gpa: string; size: string; other: number }>({
  check: 'kvm-slot-overlap',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EEXIST'),
  title: 'Memory slots overlap',
  message: (o) => `Slot ${o.slot} (${o.size} bytes at ${o.gpa}) overlaps slot ${o.other}.`,
  why: 'A guest address belongs to one slot.',
  hint: 'Move or shrink one of them: guest memory must end below the firmware region.',
  reference: REFERENCE,
  confirmed: true,
});

export const SLOT_GMEM_FD = defineFault<{ slot: number; fd: number }>({
  check: 'kvm-slot-gmem-fd',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EBADF'),
  title: 'guest_memfd descriptor not open',
  message: (o) => `Slot ${o.slot} names descriptor ${o.fd}, which is not open.`,
  why: 'A slot with KVM_MEM_GUEST_MEMFD takes its private pages from this file.',
  hint: 'Pass the descriptor that KVM_CREATE_GUEST_MEMFD returned.',
  reference: GMEM_BIND,
  confirmed: true,
});

export const SLOT_GMEM_OTHER_VM = defineFault<{ slot: number; fd: number }>({
  check: 'kvm-slot-gmem-other-vm',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Not a guest_memfd of this VM',
  message: (o) => `Slot ${o.slot} names descriptor ${o.fd}, which is no guest_memfd of this VM.`,
  why: 'A guest_memfd belongs to the VM that created it, because its pages are encrypted with the key of that VM.',
  hint: 'Pass a descriptor that KVM_CREATE_GUEST_MEMFD returned on this VM.',
  reference: GMEM_BIND,
  confirmed: true,
});

export const SLOT_GMEM_RANGE = defineFault<{ slot: number; offset: string; size: string; file: string }>({
  check: 'kvm-slot-gmem-range',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Slot larger than its guest_memfd',
  message: (o) =>
    `Slot ${o.slot} needs ${o.size} bytes from offset ${o.offset} of a guest_memfd that has ${o.file} bytes.`,
  why: 'Each page of the slot has its private page at the same offset in the file.',
  hint: 'Create a larger guest_memfd, or bind less of it.',
  reference: GMEM_BIND,
  confirmed: true,
});

export const SLOT_GMEM_BOUND = defineFault<{ slot: number; offset: string; other: number }>({
  check: 'kvm-slot-gmem-bound',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Range of the guest_memfd is bound already',
  message: (o) => `Slot ${o.slot} binds the guest_memfd from offset ${o.offset}, where slot ${o.other} is bound.`,
  why: 'A private page backs one guest address: its RMP entry names it.',
  hint: 'Bind another range of the file.',
  reference: GMEM_BIND,
  confirmed: true,
});

/** KVM_SET_USER_MEMORY_REGION2. `label` is for people: what the slot holds. */
export function kvmSetUserMemoryRegion2(machine: Machine, vm: KvmVm, argp: number, label = ''): Op<IoctlResult> {
  const args = peek(machine, argp, USERSPACE_MEMORY_REGION2_SIZE, operandsOf);
  return inKernelAtOnce(machine, COMMAND, label ? { region: label, ...args } : args, () => {
    const copied = copyIn(machine, COMMAND, 'struct kvm_userspace_memory_region2', argp, USERSPACE_MEMORY_REGION2_SIZE);
    if (!copied.ok) return copied.result;
    const region = decodeMemoryRegion2(copied.bytes);
    return checkRegion(vm, region) ?? setRegion(machine, vm, region, label);
  });
}

function operandsOf(bytes: Uint8Array): Operands {
  const region = decodeMemoryRegion2(bytes);
  return {
    slot: region.slot,
    flags: hex(region.flags),
    gpa: hex(region.guestPhysAddr),
    size: hex(region.memorySize),
    guest_memfd: region.guestMemfd,
  };
}

function checkRegion(vm: KvmVm, region: UserspaceMemoryRegion2): IoctlResult | undefined {
  const gmem = (region.flags & KVM_MEM_GUEST_MEMFD) !== 0;
  let valid = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY;
  if (vm.hasPrivateMem) valid |= KVM_MEM_GUEST_MEMFD;
  if (gmem) valid &= ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY);
  if ((region.flags & ~valid) !== 0) return refuse(SLOT_FLAGS, { flags: hex(region.flags), valid: hex(valid) });
  const { guestPhysAddr, memorySize, userspaceAddr, guestMemfdOffset } = region;
  if (![guestPhysAddr, memorySize, userspaceAddr, gmem ? guestMemfdOffset : 0n].every(isPageAligned)) {
    return refuse(SLOT_ALIGNMENT, {
      gpa: hex(guestPhysAddr),
      size: hex(memorySize),
      userspace: hex(userspaceAddr),
      offset: hex(guestMemfdOffset),
    });
  }
  if (gmem && guestMemfdOffset + memorySize > U64_MAX) {
    return refuse(SLOT_WRAP, { gpa: `guest_memfd offset ${hex(guestMemfdOffset)}`, size: hex(memorySize) });
  }
  if (region.slot >= USER_MEM_SLOTS) return refuse(SLOT_ID, { slot: hex(region.slot), slots: USER_MEM_SLOTS });
  if (guestPhysAddr + memorySize > U64_MAX)
    return refuse(SLOT_WRAP, { gpa: hex(guestPhysAddr), size: hex(memorySize) });
  if (memorySize > MAX_SLOT_SIZE) return refuse(SLOT_SIZE, { size: hex(memorySize), limit: hex(MAX_SLOT_SIZE) });
  return undefined;
}

function setRegion(machine: Machine, vm: KvmVm, region: UserspaceMemoryRegion2, label: string): IoctlResult {
  const id = region.slot;
  const old = vm.slots.get(id);
  if (region.memorySize === 0n) {
    if (!old) return refuse(SLOT_DELETE, { slot: id });
    vm.slots.delete(id);
    unmapSlot(vm, old);
    return DONE;
  }
  if (old?.gmemFd !== undefined) return refuse(SLOT_CHANGE, { slot: id });
  const pages = Number(region.memorySize) / PAGE_SIZE;
  const first = gfn(Number(region.guestPhysAddr) / PAGE_SIZE);
  for (const other of vm.slots.values()) {
    if (other.id !== id && first < other.gfn + other.pages && other.gfn < first + pages) {
      return refuse(SLOT_OVERLAP, {
        slot: id,
        gpa: hex(region.guestPhysAddr),
        size: hex(region.memorySize),
        other: other.id,
      });
    }
  }
  const slot: MemorySlot = {
    id,
    flags: region.flags,
    gfn: first,
    pages,
    userspace: hva(Number(region.userspaceAddr)),
    gmemPage: 0,
    label,
  };
  if (old) unmapSlot(vm, old);
  if ((region.flags & KVM_MEM_GUEST_MEMFD) === 0) {
    vm.slots.set(id, slot);
    return DONE;
  }
  const gmemPage = Number(region.guestMemfdOffset) / PAGE_SIZE;
  const refusal = bindGmem(machine, vm, region, gmemPage, pages);
  if (refusal) return refusal;
  vm.slots.set(id, { ...slot, gmemFd: region.guestMemfd, gmemPage });
  return DONE;
}

/** kvm_arch_flush_shadow_memslot(). */
function unmapSlot(vm: KvmVm, slot: MemorySlot): void {
  if (vm.nestedPageTable) nptZap(vm.nestedPageTable, slot.gfn, gfn(slot.gfn + slot.pages));
}

/** kvm_gmem_bind(). */
function bindGmem(
  machine: Machine,
  vm: KvmVm,
  region: UserspaceMemoryRegion2,
  gmemPage: number,
  pages: number,
): IoctlResult | undefined {
  const { slot, guestMemfd: fd } = region;
  const gmem = vm.gmems.get(fd);
  if (!gmem) {
    return isOpen(machine, fd) ? refuse(SLOT_GMEM_OTHER_VM, { slot, fd }) : refuse(SLOT_GMEM_FD, { slot, fd });
  }
  const offset = hex(region.guestMemfdOffset);
  if (gmemPage + pages > gmem.pages) {
    return refuse(SLOT_GMEM_RANGE, { slot, offset, size: hex(region.memorySize), file: hex(gmem.pages * PAGE_SIZE) });
  }
  for (const other of vm.slots.values()) {
    if (other.gmemFd === fd && gmemPage < other.gmemPage + other.pages && other.gmemPage < gmemPage + pages) {
      return refuse(SLOT_GMEM_BOUND, { slot, offset, other: other.id });
    }
  }
  return undefined;
}

function isOpen(machine: Machine, fd: number): boolean {
  return fd >= 0 && fd < machine.kvm.nextFd;
}
