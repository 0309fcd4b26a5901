import { defineFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { errno } from '../../spec/errno.js';
import type { Op } from '../../timeline/event.js';
import { DONE, type IoctlResult, inKernelAtOnce, refuse } from '../result.js';
import type { KvmVcpu } from '../state.js';

export const REGISTERS_LOCKED = defineFault<{ vcpu: number }>({
  check: 'kvm-registers-locked',
  layer: 'kvm',
  command: 'KVM_SET_SREGS',
  code: errno('EINVAL'),
  title: 'Guest state is protected',
  message: (o) => `The registers of vCPU ${o.vcpu} cannot be set: its VMSA is measured and encrypted.`,
  why: 'KVM_SEV_SNP_LAUNCH_FINISH measures the VMSA of each vCPU and hands it to the guest. From then on KVM_GET_ and KVM_SET_ of REGS, SREGS, FPU, XSAVE, XCRS and DEBUGREGS fail, because the host does not know the registers any more.',
  hint: 'Set the registers before KVM_SEV_SNP_LAUNCH_FINISH.',
  reference: 'Linux arch/x86/kvm/x86.c kvm_arch_vcpu_ioctl_set_sregs()',
  confirmed: true,
});

/**
 * KVM_SET_SREGS, KVM_SET_REGS, KVM_SET_XSAVE, KVM_SET_XCRS and KVM_SET_DEBUGREGS in one: the registers as the
 * VMSA will hold them.
 */
export function kvmSetSregs(machine: Machine, vcpu: KvmVcpu, vmsa: Uint8Array): Op<IoctlResult> {
  return inKernelAtOnce(machine, 'KVM_SET_SREGS', { vcpu: vcpu.index }, () => {
    if (vcpu.guestStateProtected) return refuse(REGISTERS_LOCKED, { vcpu: vcpu.index });
    vcpu.vmsa = vmsa;
    return DONE;
  });
}
