import { PAGE_SIZE } from '../../address.js';
import { copyBytes } from '../../bytes.js';
import type { Machine } from '../../machine.js';
import { readUser, writeUser } from '../../memory/user-memory.js';
import { type KvmVm, slotOf } from '../state.js';

/** Address in the VMM of a byte of shared guest memory. Linux gfn_to_hva(). */
export function gpaToHva(vm: KvmVm, gpa: number): number | undefined {
  const slot = slotOf(vm, Math.floor(gpa / PAGE_SIZE));
  return slot && slot.userspace + (gpa - slot.gfn * PAGE_SIZE);
}

/**
 * kvm_read_guest(): a copy of guest memory as the VMM has it mapped, which is the shared view: private pages read as
 * what lies behind them. Undefined: some of it lies in no memory slot, or the VMM has nothing mapped there.
 */
export function kvmReadGuest(machine: Machine, vm: KvmVm, gpa: number, length: number): Uint8Array | undefined {
  if ((gpa % PAGE_SIZE) + length <= PAGE_SIZE) {
    const bytes = readPart(machine, vm, gpa, length);
    return bytes && copyBytes(bytes);
  }
  const out = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const size = Math.min(PAGE_SIZE - ((gpa + done) % PAGE_SIZE), length - done);
    const bytes = readPart(machine, vm, gpa + done, size);
    if (!bytes) return undefined;
    out.set(bytes, done);
    done += size;
  }
  return out;
}

function readPart(machine: Machine, vm: KvmVm, gpa: number, length: number): Uint8Array | undefined {
  const address = gpaToHva(vm, gpa);
  return address === undefined ? undefined : readUser(machine.user, address, length);
}

/** kvm_write_guest(): false if some of it cannot be written; what comes before has been. */
export function kvmWriteGuest(machine: Machine, vm: KvmVm, gpa: number, data: Uint8Array): boolean {
  for (let done = 0; done < data.length; ) {
    const size = Math.min(PAGE_SIZE - ((gpa + done) % PAGE_SIZE), data.length - done);
    const address = gpaToHva(vm, gpa + done);
    if (address === undefined || !writeUser(machine.user, address, data.subarray(done, done + size))) return false;
    done += size;
  }
  return true;
}
