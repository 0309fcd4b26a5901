import type { Machine } from '../../machine.js';
import { type CpuidRegisters, hostCpuid } from '../../spec/host-cpuid.js';
import type { CpuidEntry2, KvmVcpu, VcpuRunState } from '../state.js';

const NOTHING: CpuidRegisters = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
const OSXSAVE = 1 << 27;
const OSPKE = 1 << 4;
const CR4_OSXSAVE = 1n << 18n;
const CR4_PKE = 1n << 22n;
/** Legacy area and header of XSAVE. */
const XSAVE_BASE = 0x240;

/**
 * kvm_cpuid(): what KVM_SET_CPUID2 gave for this vCPU, with the bits that follow the state of the vCPU. An AMD guest
 * gets zeros for what is not there. Linux arch/x86/kvm/cpuid.c.
 */
export function kvmCpuid(machine: Machine, vcpu: KvmVcpu, fn: number, index: number): CpuidRegisters {
  const entry = findEntry(vcpu, fn, index);
  if (entry) return runtime(machine, vcpu.arch, entry, fn, index);
  // Any sub-leaf of the topology leaves has the APIC ID.
  if (fn === 0xb || fn === 0x1f) {
    const known = findEntry(vcpu, fn, 1);
    if (known) return { ...NOTHING, ecx: index & 0xff, edx: known.edx };
  }
  return NOTHING;
}

function findEntry(vcpu: KvmVcpu, fn: number, index: number): CpuidEntry2 | undefined {
  return vcpu.cpuid?.find((e) => e.function === fn && (!e.significantIndex || e.index === index));
}

/** kvm_update_cpuid_runtime(). */
function runtime(
  machine: Machine,
  arch: VcpuRunState | undefined,
  entry: CpuidEntry2,
  fn: number,
  index: number,
): CpuidRegisters {
  const { eax, ebx, ecx, edx } = entry;
  const registers = { eax, ebx, ecx, edx };
  const cr4 = arch?.cr4 ?? 0n;
  if (fn === 0x1) return { ...registers, ecx: flag(ecx, OSXSAVE, (cr4 & CR4_OSXSAVE) !== 0n) };
  if (fn === 0x7 && index === 0) return { ...registers, ecx: flag(ecx, OSPKE, (cr4 & CR4_PKE) !== 0n) };
  if (fn === 0xd && index === 0) return { ...registers, ebx: xstateSize(machine, arch?.xcr0 ?? 1n, false) };
  // XSAVEC or XSAVES: the size of the compacted format.
  if (fn === 0xd && index === 1 && (eax & 0xa) !== 0) {
    return { ...registers, ebx: xstateSize(machine, arch?.xcr0 ?? 1n, true) };
  }
  return registers;
}

const flag = (word: number, bit: number, set: boolean): number => (set ? word | bit : word & ~bit) >>> 0;

/** xstate_required_size(). */
function xstateSize(machine: Machine, components: bigint, compacted: boolean): number {
  let size = XSAVE_BASE;
  for (let i = 2; i < 63; i++) {
    if (((components >> BigInt(i)) & 1n) === 0n) continue;
    const { eax, ebx } = hostCpuid(machine.processor, 0xd, i);
    size = compacted ? size + eax : Math.max(size, eax + ebx);
  }
  return size;
}
