import type { Machine } from '../../machine.js';
import { GHCB_RESPONSE } from '../../spec/ghcb-layout.js';
import { type ExitHandling, RESUME } from '../run/kvm-exit.js';
import type { KvmVcpu, KvmVm, VcpuRunState } from '../state.js';
import { setExitInfo } from './ghcb-page.js';
import { archOf } from './vmgexit.js';

/** kvm_emulate_ap_reset_hold(): the vCPU waits; KVM_RUN sees that it is not runnable. */
export function kvmEmulateApResetHold(arch: VcpuRunState): ExitHandling {
  arch.mpState = 'AP_RESET_HOLD';
  return RESUME;
}

const RESULT = ((1n << 52n) - 1n) << 12n;

/** Answer of the MSR protocol to an AP reset hold; 1: a SIPI has come. */
export function apResetHoldResponse(msr: bigint, result: bigint): bigint {
  return (msr & ~(RESULT | 0xfffn)) | (result << 12n) | 0x007n;
}

/**
 * sev_vcpu_deliver_sipi_vector(): the first SIPI of a vCPU starts it as its VMSA says, whatever the vector; later
 * ones end an AP reset hold.
 */
export function sevVcpuDeliverSipiVector(machine: Machine, vm: KvmVm, vcpu: KvmVcpu): void {
  const arch = archOf(vcpu);
  if (!arch.receivedFirstSipi) {
    arch.receivedFirstSipi = true;
    return;
  }
  if (arch.apResetHold === 'nae' && arch.ghcbMap) setExitInfo(machine, vm, arch.ghcbMap, GHCB_RESPONSE.NO_ACTION, 1n);
  if (arch.apResetHold === 'msr') arch.vmcb.ghcb = apResetHoldResponse(arch.vmcb.ghcb, 1n);
}
