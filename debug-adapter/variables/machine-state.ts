import { type Gfn, type Gpa, gfnOf, type Pfn, pfn, pfnOf, type Spa, spaOf } from '../../engine/address.js';
import type { GuestContext } from '../../engine/asp/state.js';
import type { KvmVm, MemorySlot } from '../../engine/kvm/state.js';
import type { Machine } from '../../engine/machine.js';
import { VMSA_GPA } from '../../engine/spec/page-type.js';

/** The virtual machine of the launch: there is one. */
export function theVm(machine: Machine): KvmVm | undefined {
  for (const vm of machine.kvm.vms.values()) return vm;
  return undefined;
}

/** The guest context: of the VM, or while KVM has not stored it yet, the only one there is. */
export function theContext(machine: Machine): GuestContext | undefined {
  const frame = theVm(machine)?.snpContext;
  const known = frame === undefined ? undefined : machine.asp.guests.get(spaOf(frame));
  if (known) return known;
  for (const context of machine.asp.guests.values()) return context;
  return undefined;
}

export function slotOf(vm: KvmVm, frame: Gfn): MemorySlot | undefined {
  for (const slot of vm.slots.values()) if (frame >= slot.gfn && frame < slot.gfn + slot.pages) return slot;
  return undefined;
}

export type Backing = { readonly found: true; readonly pfn: Pfn } | { readonly found: false; readonly why: string };

/** The page that backs a GPA: as KVM maps it, through the slot's guest_memfd; VMSA pages lie in no slot. */
export function backingOf(machine: Machine, address: Gpa): Backing {
  const vm = theVm(machine);
  if (!vm) return { found: false, why: 'the virtual machine does not exist yet' };
  const frame = gfnOf(address);
  if (frame === gfnOf(VMSA_GPA as Gpa)) {
    const vmsa = vm.vcpus[0]?.vmsaPfn;
    return vmsa === undefined ? { found: false, why: 'no VMSA page exists yet' } : { found: true, pfn: vmsa };
  }
  const slot = slotOf(vm, frame);
  if (!slot) return { found: false, why: 'no memory slot holds this address' };
  const memfd = slot.gmemFd === undefined ? undefined : vm.gmems.get(slot.gmemFd);
  if (!memfd) return { found: false, why: `the memory slot "${slot.label}" has no guest_memfd` };
  const folio = memfd.folios.get(slot.gmemPage + frame - slot.gfn);
  return folio ? { found: true, pfn: folio.pfn } : { found: false, why: 'guest_memfd has not allocated the page yet' };
}

export function frameOfSpa(machine: Machine, address: Spa): Pfn | undefined {
  const frame = pfnOf(address);
  return address >= 0 && address < machine.memory.size ? pfn(frame) : undefined;
}
