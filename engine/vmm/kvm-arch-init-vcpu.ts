import { kvmSetCpuid2 } from '../kvm/ioctl/kvm-set-cpuid2.js';
import type { CpuidEntry2, KvmVcpu } from '../kvm/state.js';
import { modelCpuidEntries } from '../launch/cpuid/model-page.js';
import { cpuModel } from '../spec/cpu-models.js';
import { isIndexedFunction } from '../spec/host-cpuid.js';
import type { ProcessorProfile } from '../spec/versions.js';

const TOPOLOGY = 0x8000_001e;

/**
 * QEMU kvm_arch_init_vcpu(): gives KVM the CPUID leaves of a vCPU. They are those of the CPUID page, with the APIC ID
 * of the vCPU in them. An unknown model gives none.
 */
export function kvmArchInitVcpu(vcpu: KvmVcpu, cpu: string, processor: ProcessorProfile, vcpus: number): void {
  kvmSetCpuid2(vcpu, vcpuCpuid(cpu, processor, vcpus, vcpu.index));
}

/** The leaves of one vCPU. All vCPUs are cores of one socket, with one thread each. */
export function vcpuCpuid(
  cpu: string,
  processor: ProcessorProfile,
  vcpus: number,
  apicId: number,
): readonly CpuidEntry2[] {
  const model = cpuModel(cpu);
  if (!model) return [];
  const common = commonEntries(cpu, processor, vcpus);
  return [
    ...common.map((entry) => withApicId(entry, apicId)),
    // Cores beyond 255 do not fit: QEMU then leaves the leaf empty.
    ...(apicId <= 255 ? [{ ...EMPTY, function: TOPOLOGY, eax: apicId, ebx: apicId & 0xff }] : []),
  ];
}

const EMPTY: CpuidEntry2 = { function: 0, index: 0, significantIndex: false, eax: 0, ebx: 0, ecx: 0, edx: 0 };

const tables = new Map<string, readonly CpuidEntry2[]>();

function commonEntries(cpu: string, processor: ProcessorProfile, vcpus: number): readonly CpuidEntry2[] {
  const key = `${cpu} ${processor.name} ${vcpus}`;
  const known = tables.get(key);
  if (known) return known;
  const model = cpuModel(cpu);
  const entries = (model ? modelCpuidEntries(model, processor, vcpus) : [])
    .filter((entry) => entry.eaxIn !== TOPOLOGY)
    .map(({ eaxIn, ecxIn, eax, ebx, ecx, edx }) => {
      return { function: eaxIn, index: ecxIn, significantIndex: isIndexedFunction(eaxIn), eax, ebx, ecx, edx };
    });
  if (tables.size >= 64) tables.clear();
  tables.set(key, entries);
  return entries;
}

/** QEMU cpu_x86_cpuid(): functions 1 and 0xB have the APIC ID. */
function withApicId(entry: CpuidEntry2, apicId: number): CpuidEntry2 {
  if (entry.function === 0x1) return { ...entry, ebx: ((entry.ebx & 0xff_ffff) | (apicId << 24)) >>> 0 };
  return entry.function === 0xb ? { ...entry, edx: apicId } : entry;
}
