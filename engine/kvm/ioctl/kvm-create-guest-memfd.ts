import { hex, isPageAligned, PAGE_SIZE } from '../../address.js';
import { defineFault, type Operands } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { errno } from '../../spec/errno.js';
import type { Op } from '../../timeline/event.js';
import { copyIn, type IoctlResult, inKernelAtOnce, peek, refuse } from '../result.js';
import type { KvmVm } from '../state.js';
import { CREATE_GUEST_MEMFD_SIZE, decodeCreateGuestMemfd } from '../uapi/memory-structs.js';

const COMMAND = 'KVM_CREATE_GUEST_MEMFD';
const REFERENCE = 'Linux virt/kvm/guest_memfd.c kvm_gmem_create()';

export const GMEM_FLAGS = defineFault<{ flags: string }>({
  check: 'kvm-gmem-flags',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Unknown guest_memfd flags',
  message: (o) => `The flags ${o.flags} are not 0.`,
  why: 'No flag of guest_memfd is defined for SNP guests.',
  hint: 'Pass 0.',
  reference: REFERENCE,
  confirmed: true,
});

export const GMEM_SIZE = defineFault<{ size: string }>({
  check: 'kvm-gmem-size',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'guest_memfd size not valid',
  message: (o) => `The size ${o.size} is not a positive multiple of 4 KiB.`,
  why: 'A guest_memfd holds whole pages of private guest memory.',
  hint: 'Round the size up to a multiple of 4 KiB.',
  reference: REFERENCE,
  confirmed: true,
});

/** KVM_CREATE_GUEST_MEMFD: a file that holds private memory of this VM. Pages are allocated on first use. */
export function kvmCreateGuestMemfd(machine: Machine, vm: KvmVm, argp: number): Op<IoctlResult> {
  return inKernelAtOnce(machine, COMMAND, peek(machine, argp, CREATE_GUEST_MEMFD_SIZE, operandsOf), () => {
    const copied = copyIn(machine, COMMAND, 'struct kvm_create_guest_memfd', argp, CREATE_GUEST_MEMFD_SIZE);
    if (!copied.ok) return copied.result;
    const { size, flags } = decodeCreateGuestMemfd(copied.bytes);
    if (flags !== 0n) return refuse(GMEM_FLAGS, { flags: hex(flags) });
    if (size <= 0 || !isPageAligned(size)) return refuse(GMEM_SIZE, { size: hex(size) });
    const fd = machine.kvm.nextFd++;
    vm.gmems.set(fd, { fd, pages: Number(size) / PAGE_SIZE, folios: new Map() });
    return { ret: fd, fwError: 0 };
  });
}

function operandsOf(bytes: Uint8Array): Operands {
  const { size, flags } = decodeCreateGuestMemfd(bytes);
  return { size: hex(size), flags: hex(flags) };
}
