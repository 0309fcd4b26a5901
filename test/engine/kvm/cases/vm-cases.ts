import { pfn } from '../../../../engine/address.js';
import { kvmCreateVcpu } from '../../../../engine/kvm/ioctl/kvm-create-vcpu.js';
import { kvmCreateVm } from '../../../../engine/kvm/ioctl/kvm-create-vm.js';
import { kvmEnableExitHypercall } from '../../../../engine/kvm/ioctl/kvm-enable-cap.js';
import { kvmSetSregs } from '../../../../engine/kvm/ioctl/kvm-set-sregs.js';
import { memoryEncryptOp } from '../../../../engine/kvm/ioctl/memory-encrypt-op.js';
import { createKvmHost } from '../../../../engine/kvm/state.js';
import { encodeSevCmd, SEV_CMD } from '../../../../engine/kvm/uapi/sev-cmd.js';
import { VM_TYPE } from '../../../../engine/kvm/uapi/vm-type.js';
import type { Machine } from '../../../../engine/machine.js';
import { mapUser } from '../../../../engine/memory/user-memory.js';
import { createRmp } from '../../../../engine/rmp/table.js';
import {
  bootedHost,
  init2,
  launchFinish,
  newVm,
  preparedVm,
  run,
  sevCommand,
  sevCommandAt,
  startedVm,
  UNMAPPED,
} from '../../../support/kvm-host.js';
import type { KvmCase } from './kvm-case.js';

/** KVM_CREATE_VM, vCPUs, the KVM_MEMORY_ENCRYPT_OP envelope, KVM_SEV_INIT2, ASIDs. */

const NO_DATA = new Uint8Array(64);

function smallRmp(machine: Machine): Machine {
  return { ...machine, rmp: createRmp(machine.rmp.base, machine.rmp.coveredPages / 2) };
}

function withMinSevAsid(minSevAsid: number): (machine: Machine) => Machine {
  return (machine) => ({ ...machine, processor: { ...machine.processor, minSevAsid } });
}

const withoutParameter = (machine: Machine): Machine => ({ ...machine, kvm: createKvmHost({ sevSnp: false }) });

export const VM_CASES: readonly KvmCase[] = [
  {
    name: 'KVM_CREATE_VM of type SNP on a host whose RMP is too small',
    check: 'kvm-create-vm-type',
    errno: 'EINVAL',
    causes: ['kvm-host-rmp-size'],
    host: (kvm) => bootedHost({ kvm }, smallRmp),
    run: (machine) => run(kvmCreateVm(machine, VM_TYPE.KVM_X86_SNP_VM)),
  },
  {
    name: 'KVM_CREATE_VM of an unknown type',
    check: 'kvm-create-vm-type',
    errno: 'EINVAL',
    causes: [],
    run: (machine) => run(kvmCreateVm(machine, 5)),
  },
  {
    name: 'KVM_CREATE_VCPU beyond the limit',
    check: 'kvm-create-vcpu-limit',
    errno: 'EINVAL',
    run: (machine) => run(kvmCreateVcpu(machine, preparedVm(machine), 4096)),
  },
  {
    name: 'KVM_CREATE_VCPU when there are 1024',
    check: 'kvm-create-vcpu-limit',
    errno: 'EINVAL',
    run: (machine) => run(kvmCreateVcpu(machine, preparedVm(machine, 1024), 2000)),
  },
  {
    name: 'KVM_CREATE_VCPU twice',
    check: 'kvm-create-vcpu-exists',
    errno: 'EEXIST',
    run: (machine) => run(kvmCreateVcpu(machine, preparedVm(machine), 0)),
  },
  {
    name: 'KVM_CREATE_VCPU without memory for the VMSA',
    check: 'kvm-no-memory',
    errno: 'ENOMEM',
    run: (machine) => {
      const vm = preparedVm(machine);
      exhaust(machine);
      return run(kvmCreateVcpu(machine, vm, 1));
    },
  },
  {
    name: 'INIT2 without memory for guest requests',
    check: 'kvm-no-memory',
    errno: 'ENOMEM',
    kvm: ['6.11', '6.18'],
    run: (machine) => {
      const vm = newVm(machine);
      exhaust(machine);
      return init2(machine, vm);
    },
  },
  {
    name: 'INIT2 with one page left for guest requests',
    check: 'kvm-guest-req-response',
    errno: 'EIO',
    causes: ['kvm-no-memory'],
    kvm: ['6.11', '6.18'],
    run: (machine) => {
      const vm = newVm(machine);
      exhaust(machine);
      machine.memory.free.push(pfn(0x6000));
      return init2(machine, vm);
    },
  },
  {
    name: 'KVM_SET_SREGS after LAUNCH_FINISH',
    check: 'kvm-registers-locked',
    errno: 'EINVAL',
    run: (machine) => {
      const vm = startedVm(machine);
      launchFinish(machine, vm);
      const [vcpu] = vm.vcpus;
      if (!vcpu) throw new Error('no vCPU');
      return run(kvmSetSregs(machine, vcpu, new Uint8Array(4096)));
    },
  },
  {
    name: 'KVM_CAP_EXIT_HYPERCALL with another hypercall',
    check: 'kvm-exit-hypercall-mask',
    errno: 'EINVAL',
    run: (machine) => run(kvmEnableExitHypercall(machine, newVm(machine), 0x1001)),
  },
  {
    name: 'KVM_MEMORY_ENCRYPT_OP on a host without SEV',
    check: 'kvm-sev-disabled',
    errno: 'ENOTTY',
    run: (machine) => {
      const vm = newVm(machine);
      const without = { ...machine, processor: { ...machine.processor, maxAsid: 0 } };
      return run(memoryEncryptOp(without, vm, 0));
    },
  },
  {
    name: 'KVM_MEMORY_ENCRYPT_OP with an unmapped argument',
    check: 'kvm-user-copy',
    errno: 'EFAULT',
    run: (machine) => run(memoryEncryptOp(machine, newVm(machine), UNMAPPED)),
  },
  {
    name: 'KVM_MEMORY_ENCRYPT_OP with an argument that cannot be written back',
    check: 'kvm-user-copy',
    errno: 'EFAULT',
    run: (machine) => {
      const vm = newVm(machine);
      const data = mapUser(machine.user, 'init', new Uint8Array(48));
      const cmd = encodeSevCmd({ id: SEV_CMD.KVM_SEV_INIT2, data, error: 0, sevFd: 3 });
      return run(memoryEncryptOp(machine, vm, mapUser(machine.user, 'cmd', cmd, false)));
    },
  },
  {
    name: 'a launch command on a mirror VM',
    check: 'kvm-mirror-command',
    errno: 'EINVAL',
    run: (machine) => {
      const vm = startedVm(machine);
      vm.mirrorOf = 99;
      return launchFinish(machine, vm);
    },
  },
  {
    name: 'a legacy command on an SNP VM',
    check: 'kvm-legacy-command',
    errno: 'EPERM',
    run: (machine) => sevCommand(machine, preparedVm(machine), SEV_CMD.KVM_SEV_LAUNCH_START, NO_DATA),
  },
  {
    name: 'an unknown legacy command on an SNP VM',
    check: 'kvm-legacy-command',
    errno: 'EPERM',
    run: (machine) => sevCommand(machine, preparedVm(machine), 55, NO_DATA),
  },
  {
    name: 'a second KVM_SEV_INIT2',
    check: 'kvm-legacy-command',
    errno: 'EPERM',
    run: (machine) => init2(machine, preparedVm(machine)),
  },
  {
    name: 'an unknown command',
    check: 'kvm-unknown-command',
    errno: 'EINVAL',
    run: (machine) => sevCommand(machine, preparedVm(machine), 104, NO_DATA),
  },
  {
    name: 'KVM_SEV_ES_INIT on an SNP VM',
    check: 'kvm-legacy-init',
    errno: 'EINVAL',
    run: (machine) => sevCommand(machine, newVm(machine), SEV_CMD.KVM_SEV_ES_INIT, NO_DATA),
  },
  {
    name: 'a legacy launch command before KVM_SEV_INIT2',
    check: 'kvm-not-sev-guest',
    errno: 'ENOTTY',
    run: (machine) => sevCommand(machine, newVm(machine), SEV_CMD.KVM_SEV_LAUNCH_MEASURE, NO_DATA),
  },
  {
    name: 'KVM_SEV_INIT2 on a VM of the default type',
    check: 'kvm-init2-not-needed',
    errno: 'EINVAL',
    run: (machine) => init2(machine, newVm(machine, VM_TYPE.KVM_X86_DEFAULT_VM)),
  },
  {
    name: 'KVM_SEV_INIT2 twice on an SEV-ES VM',
    check: 'kvm-init2-not-needed',
    errno: 'EINVAL',
    run: (machine) => {
      const vm = newVm(machine, VM_TYPE.KVM_X86_SEV_ES_VM);
      init2(machine, vm);
      return init2(machine, vm);
    },
  },
  {
    name: 'KVM_SEV_INIT2 with an unmapped struct',
    check: 'kvm-user-copy',
    errno: 'EFAULT',
    run: (machine) => sevCommandAt(machine, newVm(machine), 'KVM_SEV_INIT2', UNMAPPED),
  },
  {
    name: 'KVM_SEV_INIT2 after a vCPU',
    check: 'kvm-init2-vcpus',
    errno: 'EINVAL',
    run: (machine) => {
      const vm = newVm(machine);
      run(kvmCreateVcpu(machine, vm, 0));
      return init2(machine, vm, { flags: 1 });
    },
  },
  {
    name: 'KVM_SEV_INIT2 with flags',
    check: 'kvm-init2-flags',
    errno: 'EINVAL',
    run: (machine) => init2(machine, newVm(machine), { flags: 1, vmsaFeatures: 2n }),
  },
  {
    name: 'KVM_SEV_INIT2 with SNP_ACTIVE',
    check: 'kvm-init2-vmsa-features',
    errno: 'EINVAL',
    run: (machine) => init2(machine, newVm(machine), { vmsaFeatures: 1n, ghcbVersion: 3 }),
  },
  {
    name: 'KVM_SEV_INIT2 with DebugSwap on Milan',
    check: 'kvm-init2-vmsa-features',
    errno: 'EINVAL',
    run: (machine) => init2(machine, newVm(machine), { vmsaFeatures: 0x20n }),
  },
  {
    name: 'KVM_SEV_INIT2 with DebugSwap for a plain SEV VM on Genoa',
    check: 'kvm-init2-vmsa-features',
    errno: 'EINVAL',
    host: (kvm) => bootedHost({ kvm, processor: 'genoa' }),
    run: (machine) => init2(machine, newVm(machine, VM_TYPE.KVM_X86_SEV_VM), { vmsaFeatures: 0x20n }),
  },
  {
    name: 'KVM_SEV_INIT2 with GHCB version 3',
    check: 'kvm-init2-ghcb-version',
    errno: 'EINVAL',
    run: (machine) => init2(machine, newVm(machine), { ghcbVersion: 3 }),
  },
  {
    name: 'KVM_SEV_INIT2 with a GHCB version for a plain SEV VM',
    check: 'kvm-init2-ghcb-version',
    errno: 'EINVAL',
    run: (machine) => init2(machine, newVm(machine, VM_TYPE.KVM_X86_SEV_VM), { ghcbVersion: 1 }),
  },
  {
    name: 'KVM_SEV_INIT2 on a VM with a copied context',
    check: 'kvm-init2-active',
    errno: 'EINVAL',
    run: (machine) => {
      const vm = newVm(machine);
      vm.sevActive = true;
      return init2(machine, vm);
    },
  },
  {
    name: 'KVM_CREATE_VM of type SNP with kvm_amd.sev_snp=0',
    check: 'kvm-create-vm-type',
    errno: 'EINVAL',
    causes: ['kvm-snp-parameter'],
    host: (kvm) => bootedHost({ kvm }, withoutParameter),
    run: (machine) => run(kvmCreateVm(machine, VM_TYPE.KVM_X86_SNP_VM)),
  },
  {
    name: 'KVM_CREATE_VM of type SNP without ASIDs for it',
    check: 'kvm-create-vm-type',
    errno: 'EINVAL',
    causes: ['kvm-es-asids'],
    host: (kvm) => bootedHost({ kvm }, withMinSevAsid(1)),
    run: (machine) => run(kvmCreateVm(machine, VM_TYPE.KVM_X86_SNP_VM)),
  },
  {
    name: 'KVM_SEV_INIT2 of a plain SEV VM, when all ASIDs are for SEV-ES and SNP',
    check: 'kvm-asid-none',
    errno: 'ENOTTY',
    host: (kvm) => bootedHost({ kvm }, withMinSevAsid(510)),
    run: (machine) => init2(machine, newVm(machine, VM_TYPE.KVM_X86_SEV_VM)),
  },
  {
    name: 'KVM_SEV_INIT2 with all ASIDs in use',
    check: 'kvm-asid-busy',
    errno: 'EBUSY',
    run: (machine) => {
      for (let asid = 1; asid < machine.processor.minSevAsid; asid++) machine.kvm.asids.add(asid);
      return init2(machine, newVm(machine));
    },
  },
  {
    name: 'KVM_SEV_INIT2 with ASIDs that cannot be flushed',
    check: 'kvm-asid-flush',
    errno: 'EBUSY',
    causes: ['fw-platform-state'],
    run: (machine) => {
      for (let asid = 1; asid < machine.processor.minSevAsid; asid++) machine.kvm.asids.add(asid);
      machine.kvm.asidsToReclaim.add(7);
      machine.asp.platform = 'UNINIT';
      return init2(machine, newVm(machine));
    },
  },
];

/** No page of the host is free any more. */
export function exhaust(machine: Machine): void {
  machine.memory.free.length = 0;
  machine.memory.nextFree = (machine.memory.size / 4096) as typeof machine.memory.nextFree;
}
