import { type Gpa, hex, hva } from '../address.js';
import { kvmCreateGuestMemfd } from '../kvm/ioctl/kvm-create-guest-memfd.js';
import { kvmSetMemoryAttributes } from '../kvm/ioctl/kvm-set-memory-attributes.js';
import { kvmSetUserMemoryRegion2 } from '../kvm/ioctl/kvm-set-user-memory-region2.js';
import type { IoctlResult } from '../kvm/result.js';
import {
  encodeCreateGuestMemfd,
  encodeMemoryAttributes,
  encodeMemoryRegion2,
  KVM_MEM_GUEST_MEMFD,
  KVM_MEMORY_ATTRIBUTE_PRIVATE,
} from '../kvm/uapi/memory-structs.js';
import type { Op } from '../timeline/event.js';
import { inVmm, passStruct, report, type Vmm, type VmmStep, vmOf } from './context.js';

/** QEMU ram_block_add(): a guest_memfd for a block of guest memory. */
export function* ramBlockAdd(vmm: Vmm, size: number): Op<IoctlResult> {
  const argp = passStruct(vmm, encodeCreateGuestMemfd({ size, flags: 0n }));
  const result = yield* kvmCreateGuestMemfd(vmm.machine, vmOf(vmm), argp);
  if (result.fault) yield report(vmm, `failed to create guest_memfd: error ${result.ret}`);
  return result;
}

/** QEMU kvm_set_phys_mem(): the slot, and the whole of it private at once. */
export function kvmSetPhysMem(
  vmm: Vmm,
  region: { readonly name: string; readonly gpa: Gpa; readonly size: number; readonly hva: number },
  fd: number,
  offset: number,
): VmmStep {
  const { name, size } = region;
  const args = { region: name, gpa: hex(region.gpa), size: hex(size) };
  return inVmm(vmm, 'kvm_set_phys_mem', args, function* () {
    const slot = encodeMemoryRegion2({
      slot: vmm.nextSlot++,
      flags: KVM_MEM_GUEST_MEMFD,
      guestPhysAddr: region.gpa,
      memorySize: size,
      userspaceAddr: region.hva,
      guestMemfdOffset: offset,
      guestMemfd: fd,
    });
    const set = yield* kvmSetUserMemoryRegion2(vmm.machine, vmOf(vmm), passStruct(vmm, slot), name);
    if (set.fault) {
      yield report(vmm, `kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION2 failed, ret=${set.ret}`);
      return set.fault;
    }
    vmm.regions.push({ name, gpa: region.gpa, size, hva: hva(region.hva) });
    const attributes = yield* setPrivate(vmm, region.gpa, size);
    if (attributes.fault) yield report(vmm, `failed to set memory (${hex(region.gpa)}+${hex(size)}) with attr 0x8`);
    return attributes.fault;
  });
}

/** QEMU kvm_set_memory_attributes_private(). */
export function setPrivate(vmm: Vmm, address: number, size: number): Op<IoctlResult> {
  const attributes = { address, size, attributes: KVM_MEMORY_ATTRIBUTE_PRIVATE, flags: 0n };
  return kvmSetMemoryAttributes(vmm.machine, vmOf(vmm), passStruct(vmm, encodeMemoryAttributes(attributes)));
}
