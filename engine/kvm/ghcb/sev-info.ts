import type { Machine } from '../../machine.js';
import type { KvmVm } from '../state.js';

/** GHCB_VERSION_MIN, GHCB_HV_FT_SUPPORTED. Linux arch/x86/kvm/svm/sev.c. */
export const GHCB_VERSION_MIN = 1n;
/** SEV-SNP and AP creation. */
export const GHCB_HV_FT_SUPPORTED = 0x3n;

/** SEV information (0x001): what the GHCB MSR holds after reset, and the answer to request 0x002. Linux sev_es_vcpu_reset(). */
export function sevInfo(machine: Pick<Machine, 'processor'>, vm: Pick<KvmVm, 'ghcbVersion'>): bigint {
  const cBit = BigInt(machine.processor.cBit);
  return (BigInt(vm.ghcbVersion) << 48n) | (GHCB_VERSION_MIN << 32n) | (cBit << 24n) | 1n;
}
