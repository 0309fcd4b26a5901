import type { ProcessorProfile } from '../../spec/versions.js';
import type { KvmVcpu } from '../state.js';

/**
 * MSRs as KVM emulates them for a guest with encrypted state that asks by its GHCB. Linux arch/x86/kvm/x86.c
 * kvm_get_msr_common(), kvm_set_msr_common(); svm/svm.c svm_get_msr(), svm_set_msr(); mtrr.c. No performance counters:
 * QEMU has them off by default.
 */
export type MsrBehaviour =
  /** KVM keeps what is written. `refuses`: a value that raises #GP, with the reason. */
  | { readonly kind: 'stored'; readonly reset: bigint; readonly refuses?: (value: bigint) => string | undefined }
  /** Always this value; a write is ignored or raises #GP. */
  | { readonly kind: 'constant'; readonly value: bigint; readonly write: 'ignored' | 'refused' }
  /** Write only; what is written has no effect that can be seen. */
  | { readonly kind: 'command'; readonly refuses?: (value: bigint) => string | undefined }
  /** Switched by the processor with the VMSA: the guest reads and writes it itself, and KVM refuses to. */
  | { readonly kind: 'passed-through' }
  /** The time-stamp counter. */
  | { readonly kind: 'tsc' }
  /** KVM has it, this emulator does not yet; values without bit 0 switch it off, which is what it is. */
  | { readonly kind: 'missing'; readonly what: string };

export interface MsrRow {
  readonly name: string;
  readonly behaviour: MsrBehaviour;
}

const TSC_AUX = 0xc000_0103;

const rows = new Map<number, MsrRow>();

const add = (number: number, name: string, behaviour: MsrBehaviour): void => {
  rows.set(number, { name, behaviour });
};
const stored = (reset = 0n, refuses?: (value: bigint) => string | undefined): MsrBehaviour => ({
  kind: 'stored',
  reset,
  ...(refuses ? { refuses } : {}),
});
const PASSED_THROUGH: MsrBehaviour = { kind: 'passed-through' };
const constant = (value: bigint, write: 'ignored' | 'refused'): MsrBehaviour => ({ kind: 'constant', value, write });
const missing = (what: string): MsrBehaviour => ({ kind: 'missing', what });

/** Bits outside of `mask` raise #GP. */
const only =
  (mask: bigint) =>
  (value: bigint): string | undefined =>
    (value & ~mask) === 0n ? undefined : `bits 0x${(value & ~mask).toString(16)} are reserved`;

/** Memory types that an MTRR may hold. */
const MEMORY_TYPES = new Set([0n, 1n, 4n, 5n, 6n]);
const memoryType = (value: bigint): string | undefined =>
  MEMORY_TYPES.has(value & 0xffn) ? undefined : `memory type ${value & 0xffn} does not exist`;
const fixedMtrr = (value: bigint): string | undefined => {
  for (let i = 0n; i < 8n; i++) {
    const wrong = memoryType(value >> (8n * i));
    if (wrong) return wrong;
  }
  return undefined;
};

add(0x10, 'IA32_TSC', { kind: 'tsc' });
add(0x11, 'KVM_WALL_CLOCK', missing('the paravirtual clock'));
add(0x12, 'KVM_SYSTEM_TIME', missing('the paravirtual clock'));
add(0x2a, 'IA32_EBL_CR_POWERON', constant(0n, 'refused'));
add(0x34, 'SMI_COUNT', constant(0n, 'refused'));
add(0x3b, 'IA32_TSC_ADJUST', stored());
add(0x49, 'IA32_PRED_CMD', { kind: 'command', refuses: only(0x81n) });
add(0x79, 'IA32_UCODE_WRITE', { kind: 'command' });
add(0x8b, 'IA32_UCODE_REV', constant(0x0100_0065n, 'ignored'));
add(0xce, 'MSR_PLATFORM_INFO', constant(0x8000_0000n, 'refused'));
add(0xfe, 'IA32_MTRRCAP', constant(0x508n, 'refused'));
add(0x140, 'MSR_MISC_FEATURES_ENABLES', stored(0n, only(1n)));
for (const [number, name] of [
  [0x48, 'IA32_SPEC_CTRL'],
  [0x174, 'IA32_SYSENTER_CS'],
  [0x175, 'IA32_SYSENTER_ESP'],
  [0x176, 'IA32_SYSENTER_EIP'],
  [0x1d9, 'DEBUGCTL'],
  [0x1db, 'LASTBRANCHFROMIP'],
  [0x1dc, 'LASTBRANCHTOIP'],
  [0x1dd, 'LASTINTFROMIP'],
  [0x1de, 'LASTINTTOIP'],
  [0x277, 'IA32_PAT'],
  [0xc000_0080, 'EFER'],
  [0xc000_0081, 'STAR'],
  [0xc000_0082, 'LSTAR'],
  [0xc000_0083, 'CSTAR'],
  [0xc000_0084, 'SFMASK'],
  [0xc000_0100, 'FS_BASE'],
  [0xc000_0101, 'GS_BASE'],
  [0xc000_0102, 'KERNEL_GS_BASE'],
  [0xc001_0130, 'SEV_ES_GHCB'],
] as const) {
  add(number, name, PASSED_THROUGH);
}
// MCG_CTL_P, MCG_SER_P, ten banks: what QEMU sets up.
add(0x179, 'IA32_MCG_CAP', constant(0x100_010an, 'refused'));
add(0x17a, 'IA32_MCG_STATUS', stored());
const allOrNothing = (value: bigint): string | undefined =>
  value === 0n || value === (1n << 64n) - 1n ? undefined : 'only 0 and all ones can be written';
add(0x17b, 'IA32_MCG_CTL', stored(0n, allOrNothing));
const MC_BANKS = 10;
for (let bank = 0; bank < MC_BANKS; bank++) {
  // Old Linux kernels clear bit 10 of bank 4, and some guests the lowest one.
  const control = (value: bigint) => allOrNothing(value === 0n ? value : value | 0x401n);
  add(0x400 + 4 * bank, `IA32_MC${bank}_CTL`, stored((1n << 64n) - 1n, control));
  const status = (value: bigint) => (value === 0n ? undefined : 'only 0 can be written');
  add(0x401 + 4 * bank, `IA32_MC${bank}_STATUS`, stored(0n, status));
  add(0x402 + 4 * bank, `IA32_MC${bank}_ADDR`, stored());
  add(0x403 + 4 * bank, `IA32_MC${bank}_MISC`, stored());
}
for (const [number, name] of [
  [0xc1, 'P6_PERFCTR0'],
  [0xc2, 'P6_PERFCTR1'],
  [0x186, 'P6_EVNTSEL0'],
  [0x187, 'P6_EVNTSEL1'],
  [0xc001_0000, 'K7_EVNTSEL0'],
  [0xc001_0001, 'K7_EVNTSEL1'],
  [0xc001_0002, 'K7_EVNTSEL2'],
  [0xc001_0003, 'K7_EVNTSEL3'],
  [0xc001_0004, 'K7_PERFCTR0'],
  [0xc001_0005, 'K7_PERFCTR1'],
  [0xc001_0006, 'K7_PERFCTR2'],
  [0xc001_0007, 'K7_PERFCTR3'],
  [0x6e0, 'IA32_TSC_DEADLINE'],
  [0xc001_001f, 'NB_CFG'],
  [0xc001_1022, 'DC_CFG'],
  [0xc001_1023, 'TW_CFG'],
  [0xc001_102a, 'BU_CFG2'],
  [0xc001_102c, 'F15H_EX_CFG'],
] as const) {
  add(number, name, constant(0n, 'ignored'));
}
add(0x198, 'IA32_PERF_STATUS', constant((4n << 40n) | 1000n, 'refused'));
add(0x199, 'IA32_PERF_CTL', constant(0n, 'refused'));
add(0x1a0, 'IA32_MISC_ENABLE', stored(0x1800n));
for (let i = 0; i < 8; i++) {
  add(
    0x200 + 2 * i,
    `IA32_MTRR_PHYSBASE${i}`,
    stored(0n, (v) => memoryType(v) ?? only(~0xf00n)(v)),
  );
  add(0x201 + 2 * i, `IA32_MTRR_PHYSMASK${i}`, stored(0n, only(~0x7ffn)));
}
add(0x250, 'IA32_MTRR_FIX64K_00000', stored(0n, fixedMtrr));
add(0x258, 'IA32_MTRR_FIX16K_80000', stored(0n, fixedMtrr));
add(0x259, 'IA32_MTRR_FIX16K_A0000', stored(0n, fixedMtrr));
for (let i = 0; i < 8; i++) {
  add(0x268 + i, `IA32_MTRR_FIX4K_${(0xc0000 + i * 0x8000).toString(16).toUpperCase()}`, stored(0n, fixedMtrr));
}
add(
  0x2ff,
  'IA32_MTRR_DEF_TYPE',
  stored(0n, (v) => memoryType(v) ?? only(0xcffn)(v)),
);
for (const [number, name] of [
  [0x606, 'RAPL_POWER_UNIT'],
  [0x611, 'PKG_ENERGY_STATUS'],
  [0x619, 'DRAM_ENERGY_STATUS'],
  [0x639, 'PP0_ENERGY_STATUS'],
  [0x641, 'PP1_ENERGY_STATUS'],
  [0xc001_0010, 'SYSCFG'],
  [0xc001_0055, 'INT_PENDING_MSG'],
  [0xc001_0112, 'TSEG_ADDR'],
  [0xc001_0113, 'TSEG_MASK'],
  [0xc001_0114, 'VM_CR'],
  [0xc001_1021, 'F15H_IC_CFG'],
] as const) {
  add(number, name, constant(0n, 'refused'));
}
// KVM supports no supervisor state for guests of this kind.
add(0xda0, 'IA32_XSS', stored(0n, only(0n)));
add(TSC_AUX, 'TSC_AUX', stored(0n, only(0xffff_ffffn)));
add(
  0xc001_0015,
  'HWCR',
  stored(0n, (value) => only((1n << 18n) | (1n << 24n))(value & ~0x148n)),
);
add(0xc001_001b, 'K7_CLK_CTL', constant(0x2000_0000n, 'refused'));
add(0xc001_0020, 'PATCH_LOADER', { kind: 'command' });
add(0xc001_0058, 'MMIO_CONF_BASE', stored(0n, only(0n)));
add(0xc001_0117, 'VM_HSAVE_PA', stored());
add(0xc001_0140, 'OSVW_ID_LENGTH', constant(4n, 'refused'));
add(0xc001_0141, 'OSVW_STATUS', constant(0n, 'refused'));
// LFENCE is serialising.
add(0xc001_1029, 'DE_CFG', stored(2n, only(2n)));
add(0x4b56_4d00, 'KVM_WALL_CLOCK_NEW', missing('the paravirtual clock'));
add(0x4b56_4d01, 'KVM_SYSTEM_TIME_NEW', missing('the paravirtual clock'));
add(0x4b56_4d02, 'KVM_ASYNC_PF_EN', missing('asynchronous page faults'));
add(0x4b56_4d03, 'KVM_STEAL_TIME', missing('stolen time'));
add(0x4b56_4d04, 'KVM_PV_EOI_EN', missing('the paravirtual end of interrupt'));
add(0x4b56_4d05, 'KVM_POLL_CONTROL', stored(1n, only(1n)));
add(0x4b56_4d08, 'KVM_MIGRATION_CONTROL', stored(0n, only(1n)));

export const IA32_APIC_BASE = 0x1b;
/** Of IA32_APIC_BASE: x2APIC mode. */
export const X2APIC_ENABLE = 1n << 10n;

/** 0xFEE00000, enabled; bit 8 on the boot processor. */
function apicBase(vcpu: KvmVcpu): MsrBehaviour {
  return stored(0xfee0_0800n | (vcpu.index === 0 ? 0x100n : 0n), only((0xf_ffff_ffffn << 12n) | 0xd00n));
}

/** What KVM does with the MSR of a vCPU; undefined for one that it does not have, such as those of the x2APIC in xAPIC mode. */
export function kvmMsr(processor: ProcessorProfile, vcpu: KvmVcpu, number: number): MsrRow | undefined {
  if (number === IA32_APIC_BASE) return { name: 'IA32_APIC_BASE', behaviour: apicBase(vcpu) };
  if (number === TSC_AUX && processor.tscAuxVirtualization) return { name: 'TSC_AUX', behaviour: PASSED_THROUGH };
  return rows.get(number);
}
