import { defineFault, makeFault } from '../fault.js';
import { KVM_MAX_VCPUS } from '../kvm/ioctl/kvm-create-vcpu.js';
import { kvmCreateVm } from '../kvm/ioctl/kvm-create-vm.js';
import { encodeSevInit } from '../kvm/uapi/sev-structs.js';
import { VM_TYPE } from '../kvm/uapi/vm-type.js';
import { inVmm, report, sevIoctl, type Vmm, type VmmStep } from './context.js';
import { fwErrorToStr } from './sev-fw-errlist.js';

export const VCPU_LIMIT = defineFault<{ vcpus: number; limit: number }>({
  check: 'vmm-vcpu-limit',
  layer: 'vmm',
  command: '-smp',
  code: { kind: 'input' },
  title: 'More vCPUs than KVM supports',
  message: (o) => `The VM is to have ${o.vcpus} vCPUs, but this kernel has at most ${o.limit} in a VM.`,
  why: 'KVM_CHECK_EXTENSION(KVM_CAP_MAX_VCPUS) tells the VMM the limit, which is fixed when the kernel is built (CONFIG_KVM_MAX_NR_VCPUS: 1024, or 4096 with CONFIG_MAXSMP). QEMU ends before the first vCPU is made.',
  hint: (o) => `Give the VM at most ${o.limit} vCPUs.`,
  reference: 'QEMU accel/kvm/kvm-all.c kvm_init(); Linux arch/x86/kvm/Kconfig KVM_MAX_NR_VCPUS',
  confirmed: true,
});

/** QEMU kvm_init(): the VM, then the limits of the host. */
export function kvmInit(vmm: Vmm): VmmStep {
  return inVmm(vmm, 'kvm_init', {}, function* () {
    const created = yield* kvmCreateVm(vmm.machine, VM_TYPE.KVM_X86_SNP_VM);
    if (created.fault) {
      yield report(vmm, `ioctl(KVM_CREATE_VM) failed: ${-created.ret} Invalid argument`);
      return created.fault;
    }
    vmm.vm = vmm.machine.kvm.vms.get(created.ret);
    const { vcpus } = vmm.plan.vm;
    if (vcpus <= KVM_MAX_VCPUS) return undefined;
    yield report(
      vmm,
      `Number of SMP cpus requested (${vcpus}) exceeds the maximum cpus supported by KVM (${KVM_MAX_VCPUS})`,
    );
    return makeFault(VCPU_LIMIT, { vcpus, limit: KVM_MAX_VCPUS });
  });
}

const SNP_ACTIVE = 1n;

/** QEMU sev_common_kvm_init(): /dev/sev and KVM_SEV_INIT2. */
export function sevCommonKvmInit(vmm: Vmm): VmmStep {
  const { plan, machine } = vmm;
  const args = { sev_device: '/dev/sev', cbitpos: machine.processor.cBit };
  return inVmm(vmm, 'sev_common_kvm_init', args, function* () {
    vmm.sevFd = machine.kvm.nextFd++;
    machine.kvm.sevFds.add(vmm.sevFd);
    // SNP_ACTIVE is KVM's to set.
    const init = encodeSevInit({ vmsaFeatures: plan.vm.vmsaFeatures & ~SNP_ACTIVE, flags: 0, ghcbVersion: 0 });
    const { ret, fwError, fault } = yield* sevIoctl(vmm, 'KVM_SEV_INIT2', init);
    if (fault)
      yield report(
        vmm,
        `sev_common_kvm_init: failed to initialize ret=${ret} fw_error=${fwError} '${fwErrorToStr(fwError)}'`,
      );
    return fault;
  });
}
