import { gpa, pfn, spaOf } from '../../../../engine/address.js';
import { view } from '../../../../engine/bytes.js';
import { refused } from '../../../../engine/kvm/result.js';
import { rmpMakePrivate, snpReclaimAndShare } from '../../../../engine/kvm/rmp-helpers.js';
import type { Machine } from '../../../../engine/machine.js';
import { mapUser } from '../../../../engine/memory/user-memory.js';
import { HYPERVISOR_ENTRY } from '../../../../engine/rmp/entry.js';
import { writeEntry } from '../../../../engine/rmp/table.js';
import { FIRMWARE_STATUS } from '../../../../engine/spec/firmware-status.js';
import { PAGE_TYPE } from '../../../../engine/spec/page-type.js';
import {
  launchFinish,
  launchStart,
  launchUpdate,
  newVm,
  preparedVm,
  run,
  setAttributes,
  setRegion,
  sevCommandAt,
  startedVm,
  UNMAPPED,
  uaddr,
  userPages,
} from '../../../support/kvm-host.js';
import type { KvmCase } from './kvm-case.js';
import { exhaust } from './vm-cases.js';

/** LAUNCH_UPDATE and LAUNCH_FINISH. */

const { NORMAL, VMSA, ZERO, CPUID } = PAGE_TYPE;

/** The frame that guest_memfd will get next. */
export function nextFrame(machine: Machine) {
  return machine.memory.free.at(-1) ?? machine.memory.nextFree;
}

/** A CPUID page whose only entry offers every feature of leaf 1. */
export function badCpuidPage(): Uint8Array {
  const bytes = new Uint8Array(4096);
  const v = view(bytes);
  v.setUint32(0, 1, true);
  v.setUint32(16, 1, true);
  v.setUint32(16 + 0x20, 0xffff_ffff, true);
  return bytes;
}

export const UPDATE_CASES: readonly KvmCase[] = [
  {
    name: 'LAUNCH_UPDATE before LAUNCH_START',
    check: 'kvm-launch-update-no-context',
    errno: 'EINVAL',
    run: (machine) => launchUpdate(machine, preparedVm(machine)),
  },
  {
    name: 'LAUNCH_UPDATE before INIT2',
    check: 'kvm-launch-update-no-context',
    errno: 'EINVAL',
    run: (machine) => launchUpdate(machine, newVm(machine)),
  },
  {
    name: 'LAUNCH_UPDATE with an unmapped struct',
    check: 'kvm-user-copy',
    errno: 'EFAULT',
    run: (machine) => sevCommandAt(machine, startedVm(machine), 'KVM_SEV_SNP_LAUNCH_UPDATE', UNMAPPED),
  },
  {
    name: 'LAUNCH_UPDATE of half a page',
    check: 'kvm-launch-update-length',
    errno: 'EINVAL',
    run: (machine) => launchUpdate(machine, startedVm(machine), { len: 0x800n, flags: 1 }),
  },
  {
    name: 'LAUNCH_UPDATE with flags',
    check: 'kvm-launch-update-flags',
    errno: 'EINVAL',
    run: (machine) => launchUpdate(machine, startedVm(machine), { flags: 1, type: VMSA }),
  },
  ...[0, VMSA, 7].map(
    (type): KvmCase => ({
      name: `LAUNCH_UPDATE of type ${type}`,
      check: 'kvm-launch-update-type',
      errno: 'EINVAL',
      run: (machine) => launchUpdate(machine, startedVm(machine), { type, gfnStart: 0x1000n }),
    }),
  ),
  {
    name: 'LAUNCH_UPDATE outside of all slots',
    check: 'kvm-launch-update-no-slot',
    errno: 'EINVAL',
    run: (machine) => launchUpdate(machine, startedVm(machine), { gfnStart: 0x100n }),
  },
  {
    name: 'LAUNCH_UPDATE in a slot without guest_memfd',
    check: 'kvm-launch-update-not-gmem',
    errno: 'EINVAL',
    run: (machine) => {
      const vm = startedVm(machine);
      setRegion(machine, vm, { slot: 1, flags: 2, guestPhysAddr: 0x100_0000 });
      return launchUpdate(machine, vm, { gfnStart: 0x1000n });
    },
  },
  {
    name: 'LAUNCH_UPDATE of a page that was launched',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    causes: ['kvm-populate-exists'],
    run: (machine) => {
      const vm = startedVm(machine);
      launchUpdate(machine, vm);
      return launchUpdate(machine, vm);
    },
  },
  {
    name: 'LAUNCH_UPDATE without free memory',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    causes: ['kvm-no-memory'],
    run: (machine) => {
      const vm = startedVm(machine);
      exhaust(machine);
      return launchUpdate(machine, vm);
    },
  },
  {
    name: 'LAUNCH_UPDATE of a shared page',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    causes: ['kvm-page-not-private'],
    run: (machine) => {
      const vm = startedVm(machine);
      setAttributes(machine, vm, 0x1000, 0x1000, 0n);
      return launchUpdate(machine, vm);
    },
  },
  {
    name: 'LAUNCH_UPDATE of a NORMAL page without source',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    causes: ['kvm-page-no-source'],
    run: (machine) => launchUpdate(machine, startedVm(machine), { type: NORMAL }),
  },
  {
    name: 'LAUNCH_UPDATE on a page beyond the RMP',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    causes: ['kvm-page-rmp-lookup', 'kvm-rmp-lookup'],
    run: (machine) => {
      const vm = startedVm(machine);
      machine.memory.free.push(pfn(machine.rmp.coveredPages));
      return launchUpdate(machine, vm);
    },
  },
  {
    name: 'LAUNCH_UPDATE after SNP was lost',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    causes: ['kvm-page-rmp-lookup', 'kvm-rmp-no-snp'],
    run: (machine) => {
      const vm = startedVm(machine);
      machine.kvm.snpEnabled = false;
      return launchUpdate(machine, vm);
    },
  },
  {
    name: 'LAUNCH_UPDATE on a frame that is assigned',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    causes: ['kvm-page-assigned'],
    run: (machine) => {
      const vm = startedVm(machine);
      run(rmpMakePrivate(machine, nextFrame(machine), gpa(0x5000), 7, false));
      return launchUpdate(machine, vm);
    },
  },
  {
    name: 'LAUNCH_UPDATE from unmapped memory',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    kvm: ['6.11', '6.18'],
    causes: ['kvm-page-copy'],
    run: (machine) => launchUpdate(machine, startedVm(machine), { type: NORMAL, uaddr: BigInt(UNMAPPED) }),
  },
  {
    name: 'LAUNCH_UPDATE on a frame that RMPUPDATE refuses',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    causes: ['kvm-rmpupdate-failed', 'hw-rmpupdate-immutable'],
    run: (machine) => {
      const vm = startedVm(machine);
      writeEntry(machine.rmp, nextFrame(machine), { ...HYPERVISOR_ENTRY, immutable: true });
      return launchUpdate(machine, vm);
    },
  },
  {
    name: 'LAUNCH_UPDATE after LAUNCH_FINISH',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    fwError: FIRMWARE_STATUS.INVALID_GUEST_STATE,
    causes: ['kvm-page-firmware', 'fw-guest-state'],
    run: (machine) => {
      const vm = startedVm(machine);
      launchFinish(machine, vm);
      return launchUpdate(machine, vm, { type: NORMAL, uaddr: uaddr(userPages(machine, 1)) });
    },
  },
  {
    name: 'LAUNCH_UPDATE of a CPUID page with features that the host lacks',
    check: 'kvm-launch-update-failed',
    errno: 'EIO',
    fwError: FIRMWARE_STATUS.INVALID_PARAM,
    run: (machine) => {
      const page = mapUser(machine.user, 'cpuid', badCpuidPage());
      return launchUpdate(machine, startedVm(machine), { type: CPUID, uaddr: uaddr(page) });
    },
  },
  {
    name: 'a page that the firmware does not release',
    check: 'kvm-page-reclaim',
    errno: 'EIO',
    causes: ['fw-page-reclaim-state'],
    run: (machine) => {
      const fault = run(snpReclaimAndShare(machine, nextFrame(machine)));
      if (!fault) throw new Error('reclaimed');
      return refused(fault);
    },
  },
  {
    name: 'LAUNCH_FINISH before INIT2',
    check: 'kvm-launch-finish-not-snp',
    errno: 'ENOTTY',
    run: (machine) => launchFinish(machine, newVm(machine)),
  },
  {
    name: 'LAUNCH_FINISH before LAUNCH_START',
    check: 'kvm-launch-finish-no-context',
    errno: 'EINVAL',
    run: (machine) => launchFinish(machine, preparedVm(machine)),
  },
  {
    name: 'LAUNCH_FINISH with an unmapped struct',
    check: 'kvm-user-copy',
    errno: 'EFAULT',
    run: (machine) => sevCommandAt(machine, startedVm(machine), 'KVM_SEV_SNP_LAUNCH_FINISH', UNMAPPED),
  },
  {
    name: 'LAUNCH_FINISH with flags',
    check: 'kvm-launch-finish-flags',
    errno: 'EINVAL',
    run: (machine) => launchFinish(machine, startedVm(machine), { flags: 1 }),
  },
  {
    name: 'LAUNCH_FINISH with a descriptor that is not /dev/sev',
    check: 'kvm-sev-fd',
    errno: 'EBADF',
    run: (machine) => launchFinish(machine, startedVm(machine), {}, 4),
  },
  {
    name: 'LAUNCH_FINISH of a vCPU with a breakpoint',
    check: 'kvm-vmsa-dr7',
    errno: 'EINVAL',
    run: (machine) => {
      const vm = startedVm(machine);
      const [vcpu] = vm.vcpus;
      if (vcpu) {
        vcpu.vmsa = vcpu.vmsa.slice();
        view(vcpu.vmsa).setUint32(0x160, 0x401, true);
      }
      return launchFinish(machine, vm);
    },
  },
  {
    name: 'LAUNCH_FINISH of a guest that the firmware has running',
    check: 'kvm-vmsa-firmware',
    errno: 'EIO',
    fwError: FIRMWARE_STATUS.INVALID_GUEST_STATE,
    causes: ['fw-guest-state'],
    run: (machine) => {
      const vm = startedVm(machine);
      const guest = machine.asp.guests.get(spaOf(vm.snpContext ?? pfn(0)));
      if (guest) guest.state = 'RUNNING';
      return launchFinish(machine, vm);
    },
  },
  {
    name: 'LAUNCH_FINISH twice',
    check: 'kvm-launch-finish-repeated',
    errno: 'EFAULT',
    run: (machine) => {
      const vm = startedVm(machine);
      launchFinish(machine, vm);
      return launchFinish(machine, vm);
    },
  },
  {
    name: 'LAUNCH_FINISH with an ID block and no ID auth',
    check: 'kvm-id-blob-missing',
    errno: 'EINVAL',
    run: (machine) => {
      const idBlockUaddr = mapUser(machine.user, 'id block', new Uint8Array(96));
      return launchFinish(machine, startedVm(machine), { idBlockEn: true, idBlockUaddr });
    },
  },
  {
    name: 'LAUNCH_FINISH with a short ID auth',
    check: 'kvm-id-blob-fault',
    errno: 'EFAULT',
    run: (machine) => {
      const idBlockUaddr = mapUser(machine.user, 'id block', new Uint8Array(96));
      const idAuthUaddr = mapUser(machine.user, 'id auth', new Uint8Array(4095));
      return launchFinish(machine, startedVm(machine), { idBlockEn: true, idBlockUaddr, idAuthUaddr });
    },
  },
  {
    name: 'LAUNCH_FINISH with an empty ID block',
    check: 'kvm-launch-finish-firmware',
    errno: 'EIO',
    fwError: FIRMWARE_STATUS.INVALID_PARAM,
    run: (machine) => {
      const idBlockUaddr = mapUser(machine.user, 'id block', new Uint8Array(96));
      const idAuthUaddr = mapUser(machine.user, 'id auth', new Uint8Array(4096));
      return launchFinish(machine, startedVm(machine), { idBlockEn: true, idBlockUaddr, idAuthUaddr });
    },
  },
  {
    name: 'LAUNCH_START after a failed LAUNCH_FINISH',
    check: 'kvm-launch-start-context-exists',
    errno: 'EINVAL',
    run: (machine) => {
      const vm = startedVm(machine);
      launchFinish(machine, vm, { flags: 1 });
      return launchStart(machine, vm);
    },
  },
  {
    name: 'an update of a ZERO page beyond 2^53',
    check: 'kvm-launch-update-no-slot',
    errno: 'EINVAL',
    run: (machine) => launchUpdate(machine, startedVm(machine), { gfnStart: 0xffff_ffff_ffff_ffffn, type: ZERO }),
  },
];
