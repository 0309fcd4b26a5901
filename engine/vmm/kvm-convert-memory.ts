import { hex, hva, isPageAligned } from '../address.js';
import { kvmSetMemoryAttributes } from '../kvm/ioctl/kvm-set-memory-attributes.js';
import { kvmGmemPunchHole } from '../kvm/mmu/kvm-gmem-punch-hole.js';
import { sevGuestMemoryReclaimed } from '../kvm/sev-guest-memory-reclaimed.js';
import { encodeMemoryAttributes, KVM_MEMORY_ATTRIBUTE_PRIVATE } from '../kvm/uapi/memory-structs.js';
import { discardUser } from '../memory/user-memory.js';
import { ERRNO } from '../spec/errno.js';
import { inFrame, type Op } from '../timeline/event.js';
import { passStruct, type RamRegion, report, type Vmm, vmOf } from './context.js';
import { isDeviceMemory } from './devices/io-bus.js';

/** 0, or negative; then `what` says why. */
export interface Converted {
  readonly ret: number;
  readonly what?: string;
}

const DONE: Converted = { ret: 0 };

/**
 * QEMU kvm_convert_memory(): a range of guest memory becomes private or shared, and its other backing is thrown
 * away.
 */
export function kvmConvertMemory(vmm: Vmm, start: number, size: number, toPrivate: boolean): Op<Converted> {
  const args = { start: hex(start), size: hex(size), to: toPrivate ? 'private' : 'shared' };
  return inFrame(
    vmm.machine.stack,
    'vmm',
    'kvm_convert_memory',
    { args },
    () => convert(vmm, start, size, toPrivate),
    ({ ret }) => ({ result: String(ret) }),
  );
}

function* convert(vmm: Vmm, start: number, size: number, toPrivate: boolean): Op<Converted> {
  if (!isPageAligned(start) || !isPageAligned(size)) return failed(-ERRNO.EINVAL, 'the range is not page aligned');
  if (size === 0) return failed(-ERRNO.EINVAL, 'the range is empty');
  const region = vmm.regions.find((r) => start >= r.gpa && start < r.gpa + r.size);
  const deviceMemory = !region && isDeviceMemory(vmm.machine.board, start);
  if (!region && !deviceMemory) {
    // Firmware makes the whole hole for devices shared, to be on the safe side.
    return toPrivate ? failed(-ERRNO.EINVAL, 'there is no memory at this address') : DONE;
  }
  if (!region) {
    if (!toPrivate) return DONE;
    const range = `(${hex(start)} ,+ ${hex(size)})`;
    yield report(vmm, `Convert non guest_memfd backed memory region ${range} to private`);
    return failed(-ERRNO.EINVAL, 'device registers have no guest_memfd');
  }
  const attributes = toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0n;
  const arg = encodeMemoryAttributes({ address: start, size, attributes, flags: 0n });
  const set = yield* kvmSetMemoryAttributes(vmm.machine, vmOf(vmm), passStruct(vmm, arg));
  if (set.ret !== 0) {
    yield report(
      vmm,
      `failed to set memory (${hex(start)}+${hex(size)}) with attr ${hex(attributes)} error ${set.ret}`,
    );
    return failed(set.ret, 'KVM refused the attribute');
  }
  if (start + size > region.gpa + region.size) {
    const text = `Overrun block '${region.name}' (${hex(start - region.gpa)}/${hex(size)}/${hex(region.size)})`;
    yield report(vmm, `ram_block_discard_range: ${text}`);
    return failed(-ERRNO.EINVAL, `the range ends behind the memory block ${region.name}`);
  }
  return toPrivate ? yield* discardShared(vmm, region, start, size) : yield* discardPrivate(vmm, start, size);
}

function failed(ret: number, what: string): Converted {
  return { ret, what };
}

/** QEMU ram_block_discard_range(): the page that the host and the guest have shared. */
function* discardShared(vmm: Vmm, region: RamRegion, start: number, size: number): Op<Converted> {
  discardUser(vmm.machine.user, hva(region.hva + (start - region.gpa)), size);
  yield* sevGuestMemoryReclaimed(vmm.machine, vmOf(vmm));
  return DONE;
}

/** QEMU ram_block_discard_guest_memfd_range(). */
function* discardPrivate(vmm: Vmm, start: number, size: number): Op<Converted> {
  const vm = vmOf(vmm);
  for (const slot of vm.slots.values()) {
    const gpa = slot.gfn * 4096;
    const gmem = slot.gmemFd === undefined ? undefined : vm.gmems.get(slot.gmemFd);
    if (!gmem || start < gpa || start >= gpa + slot.pages * 4096) continue;
    const { ret } = yield* kvmGmemPunchHole(vmm.machine, vm, gmem, slot.gmemPage * 4096 + (start - gpa), size);
    if (ret !== 0) return failed(ret, 'the private pages could not be given back');
  }
  return DONE;
}
