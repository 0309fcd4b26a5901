import { hex } from '../address.js';
import { kvmEnableExitHypercall } from '../kvm/ioctl/kvm-enable-cap.js';
import { encodeSnpLaunchStart } from '../kvm/uapi/sev-structs.js';
import { inVmm, report, sevIoctl, type Vmm, type VmmStep, vmOf } from './context.js';
import { fwErrorToStr } from './sev-fw-errlist.js';

/** BIT(KVM_HC_MAP_GPA_RANGE). */
const EXIT_HYPERCALLS = 1 << 12;

/** QEMU sev_snp_launch_start(). */
export function sevSnpLaunchStart(vmm: Vmm): VmmStep {
  const { policy, gosvw } = vmm.plan.start;
  return inVmm(vmm, 'sev_snp_launch_start', { policy: hex(policy) }, function* () {
    const enabled = yield* kvmEnableExitHypercall(vmm.machine, vmOf(vmm), EXIT_HYPERCALLS);
    if (enabled.fault) return enabled.fault;
    const start = encodeSnpLaunchStart({ policy, gosvw, flags: 0 });
    const { ret, fwError, fault } = yield* sevIoctl(vmm, 'KVM_SEV_SNP_LAUNCH_START', start);
    if (fault) {
      const text = `ret=${ret} fw_error=${fwError} '${fwErrorToStr(fwError)}'`;
      yield report(vmm, `sev_snp_launch_start: SNP_LAUNCH_START ${text}`);
      yield report(vmm, 'sev_common_kvm_init: failed to create encryption context');
    }
    return fault;
  });
}
