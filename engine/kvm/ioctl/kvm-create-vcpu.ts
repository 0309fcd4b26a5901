import { PAGE_SIZE } from '../../address.js';
import { defineFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { errno } from '../../spec/errno.js';
import type { Op } from '../../timeline/event.js';
import { type IoctlResult, inKernelAtOnce, refuse } from '../result.js';
import { NO_MEMORY, snpSafeAllocPage } from '../snp-safe-alloc-page.js';
import type { KvmVm } from '../state.js';
import { VM_TYPE } from '../uapi/vm-type.js';

const COMMAND = 'KVM_CREATE_VCPU';

/**
 * KVM_MAX_VCPUS of a distribution kernel without CONFIG_MAXSMP (CONFIG_KVM_MAX_NR_VCPUS), and the ids that go with
 * it. Linux arch/x86/include/asm/kvm_host.h.
 */
export const KVM_MAX_VCPUS = 1024;
export const KVM_MAX_VCPU_IDS = 4 * KVM_MAX_VCPUS;

export const CREATE_VCPU_LIMIT = defineFault<{ id: number; limit: number }>({
  check: 'kvm-create-vcpu-limit',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Too many vCPUs',
  message: (o) => `vCPU ${o.id} cannot be created: this kernel has at most ${o.limit} vCPUs in a VM.`,
  why: 'KVM_MAX_VCPUS is fixed when the kernel is built (CONFIG_KVM_MAX_NR_VCPUS).',
  hint: (o) => `Give the VM at most ${o.limit} vCPUs.`,
  reference: 'Linux virt/kvm/kvm_main.c kvm_vm_ioctl_create_vcpu()',
  confirmed: true,
});

export const CREATE_VCPU_EXISTS = defineFault<{ id: number }>({
  check: 'kvm-create-vcpu-exists',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EEXIST'),
  title: 'vCPU exists already',
  message: (o) => `The VM has a vCPU with id ${o.id} already.`,
  why: 'The id of a vCPU is its APIC id; two vCPUs cannot share one.',
  hint: 'Create each vCPU once.',
  reference: 'Linux virt/kvm/kvm_main.c kvm_vm_ioctl_create_vcpu()',
  confirmed: true,
});

/** KVM_CREATE_VCPU. For an SNP VM it allocates the page that will hold the VMSA. */
export function kvmCreateVcpu(machine: Machine, vm: KvmVm, id: number): Op<IoctlResult> {
  return inKernelAtOnce(machine, COMMAND, { id }, () => {
    if (id < 0 || id >= KVM_MAX_VCPU_IDS || vm.vcpus.length >= KVM_MAX_VCPUS)
      return refuse(CREATE_VCPU_LIMIT, { id, limit: KVM_MAX_VCPUS });
    if (vm.vcpus.some((vcpu) => vcpu.index === id)) return refuse(CREATE_VCPU_EXISTS, { id });
    const encryptedState = vm.type === VM_TYPE.KVM_X86_SNP_VM || vm.type === VM_TYPE.KVM_X86_SEV_ES_VM;
    const vmsaPfn = encryptedState ? snpSafeAllocPage(machine, `VMSA of vCPU ${id}`) : undefined;
    if (encryptedState && vmsaPfn === undefined) return refuse(NO_MEMORY, { use: `VMSA of vCPU ${id}` });
    vm.vcpus.push({ index: id, vmsa: new Uint8Array(PAGE_SIZE), vmsaPfn, guestStateProtected: false });
    return { ret: machine.kvm.nextFd++, fwError: 0 };
  });
}
