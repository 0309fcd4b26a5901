import { spa } from '../../../../engine/address.js';
import { hostBoot } from '../../../../engine/kvm/host-boot.js';
import { kvmCreateVm } from '../../../../engine/kvm/ioctl/kvm-create-vm.js';
import { refused } from '../../../../engine/kvm/result.js';
import { destroyVm } from '../../../../engine/kvm/sev-vm-destroy.js';
import { VM_TYPE } from '../../../../engine/kvm/uapi/vm-type.js';
import type { Machine } from '../../../../engine/machine.js';
import { FIRMWARE_STATUS } from '../../../../engine/spec/firmware-status.js';
import type { KvmRelease } from '../../../../engine/spec/versions.js';
import { createMachine } from '../../../../engine/vmm/create-machine.js';
import {
  bootedHost,
  init2,
  launchStart,
  newVm,
  preparedVm,
  run,
  sevCommandAt,
  startedVm,
  UNMAPPED,
} from '../../../support/kvm-host.js';
import { testPlan } from '../../../support/plans.js';
import type { KvmCase } from './kvm-case.js';
import { exhaust } from './vm-cases.js';

/** Host boot, LAUNCH_START and teardown. */

const OLD: readonly KvmRelease[] = ['v15', 'v15+fixes', '6.11'];

function policy(value: bigint, check: string, kvm?: readonly KvmRelease[]): KvmCase {
  return {
    name: `policy 0x${value.toString(16)}`,
    check,
    errno: 'EINVAL',
    causes: [],
    run: (machine) => launchStart(machine, preparedVm(machine), { policy: value }),
    ...(kvm ? { kvm } : {}),
  };
}

function oldFirmware(machine: Machine): Machine {
  return { ...machine, firmware: { ...machine.firmware, minor: 50 } };
}

export const START_CASES: readonly KvmCase[] = [
  {
    name: 'boot with an RMP that does not cover memory',
    check: 'kvm-host-rmp-size',
    errno: 'ENODEV',
    host: (kvm) => {
      const machine = createMachine(testPlan({ kvm }));
      return { ...machine, rmp: { ...machine.rmp, end: spa(machine.rmp.end - 0x10_0000) } };
    },
    run: (machine) => run(hostBoot(machine)),
  },
  {
    name: 'boot with firmware 1.50',
    check: 'kvm-host-firmware-version',
    errno: 'ENODEV',
    host: (kvm) => oldFirmware(createMachine(testPlan({ kvm }))),
    run: (machine) => run(hostBoot(machine)),
  },
  {
    name: 'boot with a misplaced RMP',
    check: 'kvm-host-snp-init',
    errno: 'EIO',
    fwError: 0,
    causes: ['fw-init-rmp-alignment'],
    host: (kvm) => {
      const machine = createMachine(testPlan({ kvm }));
      const { rmp } = machine;
      return { ...machine, rmp: { ...rmp, base: spa(rmp.base + 0x1000), end: spa(rmp.end + 0x1000) } };
    },
    run: (machine) => run(hostBoot(machine)),
  },
  {
    name: 'LAUNCH_START before KVM_SEV_INIT2',
    check: 'kvm-launch-start-not-snp',
    errno: 'ENOTTY',
    run: (machine) => launchStart(machine, newVm(machine)),
  },
  {
    name: 'LAUNCH_START on an SEV-ES VM',
    check: 'kvm-launch-start-not-snp',
    errno: 'ENOTTY',
    run: (machine) => {
      const vm = newVm(machine, 3);
      init2(machine, vm);
      return launchStart(machine, vm);
    },
  },
  {
    name: 'LAUNCH_START with an unmapped struct',
    check: 'kvm-user-copy',
    errno: 'EFAULT',
    run: (machine) => sevCommandAt(machine, preparedVm(machine), 'KVM_SEV_SNP_LAUNCH_START', UNMAPPED),
  },
  {
    name: 'LAUNCH_START twice',
    check: 'kvm-launch-start-context-exists',
    errno: 'EINVAL',
    run: (machine) => launchStart(machine, startedVm(machine)),
  },
  {
    name: 'LAUNCH_START on a host whose firmware is too old',
    check: 'kvm-launch-start-context',
    errno: 'ENOTTY',
    fwError: FIRMWARE_STATUS.INVALID_PLATFORM_STATE,
    causes: ['kvm-gctx-create', 'fw-platform-state', 'kvm-host-firmware-version'],
    kvm: OLD,
    host: (kvm) => bootedHost({ kvm }, oldFirmware),
    run: (machine) => launchStart(machine, preparedVm(machine)),
  },
  {
    name: 'KVM_CREATE_VM of type SNP on a host whose firmware is too old',
    check: 'kvm-create-vm-type',
    errno: 'EINVAL',
    causes: ['kvm-host-firmware-version'],
    kvm: ['6.18'],
    host: (kvm) => bootedHost({ kvm }, oldFirmware),
    run: (machine) => run(kvmCreateVm(machine, VM_TYPE.KVM_X86_SNP_VM)),
  },
  {
    name: 'LAUNCH_START with a descriptor that is not /dev/sev',
    check: 'kvm-launch-start-context',
    errno: 'ENOTTY',
    causes: ['kvm-sev-fd'],
    run: (machine) => launchStart(machine, preparedVm(machine), {}, 4),
  },
  {
    name: 'LAUNCH_START without memory for the context',
    check: 'kvm-launch-start-context',
    errno: 'ENOTTY',
    causes: ['kvm-no-memory'],
    run: (machine) => {
      const vm = preparedVm(machine);
      exhaust(machine);
      return launchStart(machine, vm);
    },
  },
  {
    name: 'LAUNCH_START with flags',
    check: 'kvm-launch-start-flags',
    errno: 'EINVAL',
    run: (machine) => launchStart(machine, preparedVm(machine), { flags: 1, policy: 0n }),
  },
  policy(0x30_0000n, 'kvm-policy-unknown-bits', OLD),
  policy(0x7_0000n, 'kvm-policy-unknown-bits'),
  policy(0x400_0003_0000n, 'kvm-policy-unknown-bits'),
  policy(0x23_0000n, 'kvm-policy-unknown-bits', OLD),
  policy(0x203_0000n, 'kvm-policy-unknown-bits'),
  policy(0n, 'kvm-policy-reserved-one'),
  policy(0x1_0000n, 'kvm-policy-reserved-one'),
  policy(0x11_0000n, 'kvm-policy-reserved-one'),
  policy(0x2_0000n, 'kvm-policy-smt', OLD),
  policy(0x12_0000n, 'kvm-policy-smt', OLD),
  policy(0x13_0000n, 'kvm-policy-single-socket', OLD),
  {
    name: 'policy without SMT, which 6.18 leaves to the firmware',
    check: 'kvm-launch-start-firmware',
    errno: 'EIO',
    kvm: ['6.18'],
    fwError: FIRMWARE_STATUS.POLICY_FAILURE,
    causes: ['fw-policy-smt'],
    run: (machine) => launchStart(machine, preparedVm(machine), { policy: 0x2_0000n }),
  },
  {
    name: 'policy that asks for a newer firmware',
    check: 'kvm-launch-start-firmware',
    errno: 'EIO',
    fwError: FIRMWARE_STATUS.POLICY_FAILURE,
    causes: ['fw-policy-abi'],
    run: (machine) => launchStart(machine, preparedVm(machine), { policy: 0x3_01ffn }),
  },
  {
    name: 'LAUNCH_START with an ASID that another guest has',
    check: 'kvm-launch-start-activate',
    errno: 'EIO',
    fwError: FIRMWARE_STATUS.ASID_OWNED,
    run: (machine) => {
      const vm = preparedVm(machine);
      machine.asp.activeAsids.set(vm.asid, spa(0x123_4000));
      return launchStart(machine, vm);
    },
  },
  {
    name: 'teardown when the firmware has lost the context',
    check: 'kvm-asid-leaked',
    errno: 'EIO',
    causes: ['kvm-decommission', 'fw-guest-context'],
    run: (machine) => {
      startedVm(machine);
      machine.asp.guests.clear();
      const [fault] = run(destroyVm(machine)).faults;
      if (!fault) throw new Error('teardown succeeded');
      return refused(fault);
    },
  },
];
