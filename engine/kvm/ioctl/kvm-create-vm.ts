import { defineFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { errno } from '../../spec/errno.js';
import type { Op } from '../../timeline/event.js';
import { type IoctlResult, inKernelAtOnce, refuse } from '../result.js';
import type { KvmVm } from '../state.js';
import { VM_TYPE, vmTypeName } from '../uapi/vm-type.js';

const COMMAND = 'KVM_CREATE_VM';

export const CREATE_VM_TYPE = defineFault<{ type: string; supported: string }>({
  check: 'kvm-create-vm-type',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'VM type not supported by this host',
  message: (o) => `KVM cannot create a VM of type ${o.type}; this host supports ${o.supported}.`,
  why: 'KVM offers VM type 4 (KVM_X86_SNP_VM) only when the host itself runs with SNP: the BIOS has reserved an RMP for all memory, SYSCFG has SNP enabled on every core, and kvm_amd was loaded with sev_snp. KVM_CHECK_EXTENSION(KVM_CAP_VM_TYPES) tells which types there are.',
  hint: 'Enable SNP in the BIOS (SNP memory coverage, IOMMU) and in the kernel, and check that /sys/module/kvm_amd/parameters/sev_snp reads Y.',
  reference: 'Linux arch/x86/kvm/x86.c kvm_arch_init_vm(), kvm_is_vm_type_supported()',
  confirmed: true,
});

/** KVM_CREATE_VM: the descriptor of a new VM. */
export function kvmCreateVm(machine: Machine, type: number): Op<IoctlResult> {
  return inKernelAtOnce(machine, COMMAND, { type: vmTypeName(type) }, () => {
    const { kvm } = machine;
    const supported = supportedVmTypes(machine);
    if (!supported.includes(type)) {
      const names = supported.map(vmTypeName).join(', ');
      return refuse(CREATE_VM_TYPE, { type: vmTypeName(type), supported: names }, { cause: kvm.hostFault });
    }
    const vm: KvmVm = {
      fd: kvm.nextFd++,
      type,
      needInit: type >= VM_TYPE.KVM_X86_SEV_VM,
      hasPrivateMem: type === VM_TYPE.KVM_X86_SNP_VM || type === VM_TYPE.KVM_X86_SW_PROTECTED_VM,
      sevActive: false,
      vmsaFeatures: 0n,
      ghcbVersion: 0,
      asid: 0,
      sevFd: -1,
      vcpus: [],
      slots: new Map(),
      gmems: new Map(),
      privateRanges: [],
      launchFinished: false,
      apicvInhibited: false,
      hypercallExits: 0,
    };
    kvm.vms.set(vm.fd, vm);
    return { ret: vm.fd, fwError: 0 };
  });
}

/** KVM_CAP_VM_TYPES. KVM_X86_SW_PROTECTED_VM is a development aid and not built into distribution kernels. */
export function supportedVmTypes(machine: Machine): number[] {
  const types: number[] = [VM_TYPE.KVM_X86_DEFAULT_VM, VM_TYPE.KVM_X86_SEV_VM];
  if (machine.processor.minSevAsid > 1) types.push(VM_TYPE.KVM_X86_SEV_ES_VM);
  if (machine.kvm.snpEnabled) types.push(VM_TYPE.KVM_X86_SNP_VM);
  return types;
}
