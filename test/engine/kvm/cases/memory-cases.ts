import { kvmCreateGuestMemfd } from '../../../../engine/kvm/ioctl/kvm-create-guest-memfd.js';
import { kvmSetMemoryAttributes } from '../../../../engine/kvm/ioctl/kvm-set-memory-attributes.js';
import { kvmSetUserMemoryRegion2 } from '../../../../engine/kvm/ioctl/kvm-set-user-memory-region2.js';
import type { IoctlResult } from '../../../../engine/kvm/result.js';
import type { KvmVm } from '../../../../engine/kvm/state.js';
import type { UserspaceMemoryRegion2 } from '../../../../engine/kvm/uapi/memory-structs.js';
import { VM_TYPE } from '../../../../engine/kvm/uapi/vm-type.js';
import type { Machine } from '../../../../engine/machine.js';
import { createMemfd, newVm, preparedVm, run, setAttributes, setRegion, UNMAPPED } from '../../../support/kvm-host.js';
import type { KvmCase } from './kvm-case.js';

/** guest_memfd, memory slots and attributes. */

/** A region on a VM that has slot 0: 1 MiB at 0 with all of its guest_memfd. */
function region(change: (machine: Machine, vm: KvmVm) => Partial<UserspaceMemoryRegion2<number | bigint>>) {
  return (machine: Machine): IoctlResult => {
    const vm = preparedVm(machine);
    return setRegion(machine, vm, { slot: 1, guestPhysAddr: 0x100_0000, ...change(machine, vm) });
  };
}

const anonymous = (change: Partial<UserspaceMemoryRegion2<number | bigint>>) => region(() => ({ flags: 0, ...change }));

export const MEMORY_CASES: readonly KvmCase[] = [
  {
    name: 'guest_memfd with flags',
    check: 'kvm-gmem-flags',
    errno: 'EINVAL',
    run: (machine) => createMemfd(machine, newVm(machine), -1, 1n),
  },
  ...[0, -4096, 0x1001].map(
    (size): KvmCase => ({
      name: `guest_memfd of ${size} bytes`,
      check: 'kvm-gmem-size',
      errno: 'EINVAL',
      run: (machine) => createMemfd(machine, newVm(machine), size),
    }),
  ),
  ...[kvmCreateGuestMemfd, kvmSetUserMemoryRegion2, kvmSetMemoryAttributes].map(
    (ioctl): KvmCase => ({
      name: `${ioctl.name} with an unmapped argument`,
      check: 'kvm-user-copy',
      errno: 'EFAULT',
      run: (machine) => run(ioctl(machine, newVm(machine), UNMAPPED)),
    }),
  ),
  {
    name: 'a read-only slot with guest_memfd (pflash)',
    check: 'kvm-slot-flags',
    errno: 'EINVAL',
    run: region(() => ({ flags: 6, memorySize: 1 })),
  },
  {
    name: 'a slot with guest_memfd and dirty log',
    check: 'kvm-slot-flags',
    errno: 'EINVAL',
    run: region(() => ({ flags: 5 })),
  },
  {
    name: 'a slot with guest_memfd in a VM without private memory',
    check: 'kvm-slot-flags',
    errno: 'EINVAL',
    run: (machine) => setRegion(machine, newVm(machine, VM_TYPE.KVM_X86_SEV_ES_VM), { flags: 4 }),
  },
  ...(['guestPhysAddr', 'memorySize', 'userspaceAddr'] as const).map(
    (field): KvmCase => ({
      name: `a slot with unaligned ${field}`,
      check: 'kvm-slot-alignment',
      errno: 'EINVAL',
      run: anonymous({ slot: 0x10000, [field]: 0x1800 }),
    }),
  ),
  {
    name: 'a slot with unaligned guest_memfd_offset',
    check: 'kvm-slot-alignment',
    errno: 'EINVAL',
    run: region(() => ({ guestMemfdOffset: 8 })),
  },
  {
    name: 'a slot in the address space of SMM',
    check: 'kvm-slot-id',
    errno: 'EINVAL',
    run: anonymous({ slot: 0x1_0000, guestPhysAddr: 2 ** 63, memorySize: 2 ** 63 }),
  },
  {
    name: 'a slot that wraps',
    check: 'kvm-slot-wrap',
    errno: 'EINVAL',
    run: anonymous({ guestPhysAddr: 2 ** 63, memorySize: 2 ** 63 }),
  },
  {
    name: 'a slot whose guest_memfd_offset wraps',
    check: 'kvm-slot-wrap',
    errno: 'EINVAL',
    run: region(() => ({ slot: 0x1_0000, guestMemfdOffset: 2n ** 64n - 0x1000n })),
  },
  {
    name: 'a slot of 8 TiB',
    check: 'kvm-slot-size',
    errno: 'EINVAL',
    run: anonymous({ memorySize: 2n ** 43n }),
  },
  {
    name: 'a slot at an odd address above 2^53',
    check: 'kvm-slot-alignment',
    errno: 'EINVAL',
    run: anonymous({ guestPhysAddr: 2n ** 60n + 1n }),
  },
  {
    name: 'deleting a slot that does not exist',
    check: 'kvm-slot-delete',
    errno: 'EINVAL',
    run: anonymous({ memorySize: 0 }),
  },
  {
    name: 'changing a slot with guest_memfd',
    check: 'kvm-slot-change',
    errno: 'EINVAL',
    run: anonymous({ slot: 0, guestPhysAddr: 0 }),
  },
  {
    name: 'a slot over another',
    check: 'kvm-slot-overlap',
    errno: 'EEXIST',
    run: region(() => ({ guestPhysAddr: 0xf_f000 })),
  },
  {
    name: 'a slot with a closed descriptor',
    check: 'kvm-slot-gmem-fd',
    errno: 'EBADF',
    run: region(() => ({ guestMemfd: 1000 })),
  },
  {
    name: "a slot with another VM's guest_memfd",
    check: 'kvm-slot-gmem-other-vm',
    errno: 'EINVAL',
    run: region((machine) => ({ guestMemfd: createMemfd(machine, newVm(machine), 0x10_0000).ret })),
  },
  {
    name: 'a slot beyond its guest_memfd',
    check: 'kvm-slot-gmem-range',
    errno: 'EINVAL',
    run: region((machine, vm) => ({ guestMemfd: createMemfd(machine, vm, 0x10_0000).ret, guestMemfdOffset: 0x1000 })),
  },
  {
    name: 'a slot on a bound range',
    check: 'kvm-slot-gmem-bound',
    errno: 'EINVAL',
    run: region((_, vm) => ({ guestMemfd: vm.slots.get(0)?.gmemFd ?? -1 })),
  },
  {
    name: 'attributes with flags',
    check: 'kvm-attributes-flags',
    errno: 'EINVAL',
    run: (machine) => setAttributes(machine, newVm(machine), 1, 0, 1n, 1n),
  },
  {
    name: 'an unknown attribute',
    check: 'kvm-attributes-unknown',
    errno: 'EINVAL',
    run: (machine) => setAttributes(machine, newVm(machine), 1, 0, 9n),
  },
  {
    name: 'PRIVATE in a VM without private memory',
    check: 'kvm-attributes-unknown',
    errno: 'EINVAL',
    run: (machine) => setAttributes(machine, newVm(machine, VM_TYPE.KVM_X86_SEV_VM), 0, 0x1000),
  },
  ...(
    [
      [0, 0],
      [1, 0x1000],
      [0, 0x1800],
      [2 ** 63, 2 ** 63],
    ] as const
  ).map(
    ([address, size]): KvmCase => ({
      name: `attributes of ${size} bytes at ${address}`,
      check: 'kvm-attributes-range',
      errno: 'EINVAL',
      run: (machine) => setAttributes(machine, newVm(machine), address, size),
    }),
  ),
];
