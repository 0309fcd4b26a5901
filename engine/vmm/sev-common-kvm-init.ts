import { kvmCreateVm } from '../kvm/ioctl/kvm-create-vm.js';
import { encodeSevInit } from '../kvm/uapi/sev-structs.js';
import { VM_TYPE } from '../kvm/uapi/vm-type.js';
import { inVmm, report, sevIoctl, type Vmm, type VmmStep } from './context.js';

/** QEMU kvm_init(): the VM. */
export function kvmInit(vmm: Vmm): VmmStep {
  return inVmm(vmm, 'kvm_init', {}, function* () {
    const created = yield* kvmCreateVm(vmm.machine, VM_TYPE.KVM_X86_SNP_VM);
    if (created.fault) {
      yield report(vmm, `ioctl(KVM_CREATE_VM) failed: ${-created.ret} Invalid argument`);
      return created.fault;
    }
    vmm.vm = vmm.machine.kvm.vms.get(created.ret);
    return undefined;
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
    if (fault) yield report(vmm, `sev_common_kvm_init: failed to initialize ret=${ret} fw_error=${fwError}`);
    return fault;
  });
}
