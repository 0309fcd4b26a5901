import { nearest } from '../../engine/launch/grammar/suggest.js';
import { isGuestName, RMP_INSTRUCTION_NAMES, unknownGuestName } from './guest-names.js';

/** Every operation that some launch enters, by layer: what a function breakpoint can stop at. */
export const FUNCTION_NAMES: readonly string[] = [
  // VMM, as in QEMU
  'object_new sev-snp-guest',
  'kvm_init',
  'sev_common_kvm_init',
  'sev_snp_launch_start',
  'x86_cpus_init',
  'pc_memory_init',
  'kvm_set_phys_mem',
  'x86_bios_rom_init',
  'kvm_arch_put_registers',
  'sev_snp_launch_update',
  'sev_snp_launch_finish',
  'kvm_cpu_exec',
  'kvm_convert_memory',
  // Linux
  'snp_rmptable_init',
  '__sev_snp_init_locked',
  'KVM_CREATE_VM',
  'KVM_SEV_INIT2',
  'KVM_ENABLE_CAP',
  'KVM_SEV_SNP_LAUNCH_START',
  'snp_context_create',
  'KVM_CREATE_VCPU',
  'KVM_CREATE_GUEST_MEMFD',
  'KVM_SET_USER_MEMORY_REGION2',
  'KVM_SET_MEMORY_ATTRIBUTES',
  'KVM_SET_SREGS',
  'KVM_SEV_SNP_LAUNCH_UPDATE',
  'sev_gmem_post_populate',
  'KVM_SEV_SNP_LAUNCH_FINISH',
  'snp_launch_update_vmsa',
  'KVM_RUN',
  'npf_interception',
  'fallocate',
  'sev_gmem_prepare',
  'sev_snp_init_protected_guest_state',
  'sev_handle_vmgexit',
  'sev_handle_vmgexit_msr_protocol',
  'snp_begin_psc_msr',
  'snp_complete_psc_msr',
  'snp_begin_psc',
  'snp_complete_psc',
  'snp_complete_one_psc',
  'sev_snp_ap_creation',
  'snp_handle_guest_req',
  'snp_handle_ext_guest_req',
  'snp_begin_ext_guest_req',
  'snp_complete_ext_guest_req',
  // SNP firmware
  'SNP_INIT',
  'SNP_INIT_EX',
  'SNP_DF_FLUSH',
  'SNP_GCTX_CREATE',
  'SNP_LAUNCH_START',
  'SNP_ACTIVATE',
  'SNP_LAUNCH_UPDATE',
  'SNP_LAUNCH_FINISH',
  'SNP_GUEST_REQUEST',
  'SNP_PAGE_RECLAIM',
  'SNP_DECOMMISSION',
  // processor
  'RMPUPDATE',
];

/** Why a function breakpoint cannot be reached; undefined if it can. `labels`: the entries of the loaded launch. */
export function unknownFunction(name: string, labels: readonly string[]): string | undefined {
  if (isGuestName(name)) return unknownGuestName(name);
  const wanted = name.trim().toLowerCase();
  const names = [...FUNCTION_NAMES, ...RMP_INSTRUCTION_NAMES, ...labels];
  if (names.some((known) => known.toLowerCase() === wanted)) return undefined;
  const meant = suggestion(wanted);
  const advice = meant ? `Did you mean ${meant}?` : 'Names are those of the call stack, such as SNP_LAUNCH_UPDATE.';
  return `No launch reaches "${name.trim()}". ${advice}`;
}

/** A slip of the pen, or a name without its prefix: LAUNCH_START. */
function suggestion(wanted: string): string | undefined {
  const ending = FUNCTION_NAMES.filter((known) => wanted.length > 3 && known.toLowerCase().endsWith(`_${wanted}`));
  return (
    ending.find((known) => known.startsWith('SNP_')) ??
    ending[0] ??
    nearest(wanted, [...FUNCTION_NAMES, ...RMP_INSTRUCTION_NAMES])
  );
}
