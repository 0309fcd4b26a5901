/**
 * CPU models as QEMU's `-cpu` names them. Of a model the launch digest holds only the signature (RDX of the
 * initial VMSA). QEMU target/i386/cpu.c `builtin_x86_defs`; virtee/sev-snp-measure vcpu_types.py.
 */

export interface CpuModel {
  readonly name: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  /** CPUID Fn0000_0001 EAX. */
  readonly signature: number;
  readonly generation: CpuGeneration;
  /** Feature words that this version adds to its generation. */
  readonly version: number;
}

export type CpuGeneration = 'naples' | 'rome' | 'milan' | 'genoa' | 'turin';

/** CPUID Fn0000_0001 EAX from family, model and stepping. AMD APM volume 3, Fn0000_0001_EAX. */
export function cpuSignature(family: number, model: number, stepping: number): number {
  const baseFamily = Math.min(family, 0xf);
  const extendedFamily = family - baseFamily;
  return (
    ((extendedFamily << 20) | ((model >> 4) << 16) | (baseFamily << 8) | ((model & 0xf) << 4) | (stepping & 0xf)) >>> 0
  );
}

const GENERATIONS: Readonly<Record<CpuGeneration, readonly [family: number, model: number, stepping: number]>> = {
  naples: [23, 1, 2],
  rome: [23, 49, 0],
  milan: [25, 1, 1],
  genoa: [25, 17, 0],
  turin: [26, 0, 0],
};

function model(name: string, generation: CpuGeneration, version: number): CpuModel {
  const [family, number, stepping] = GENERATIONS[generation];
  return {
    name,
    family,
    model: number,
    stepping,
    signature: cpuSignature(family, number, stepping),
    generation,
    version,
  };
}

/** A name without version stands for version 1, as in QEMU. */
export const CPU_MODELS: readonly CpuModel[] = [
  model('EPYC', 'naples', 1),
  model('EPYC-v1', 'naples', 1),
  model('EPYC-v2', 'naples', 2),
  model('EPYC-IBPB', 'naples', 2),
  model('EPYC-v3', 'naples', 3),
  model('EPYC-v4', 'naples', 4),
  model('EPYC-v5', 'naples', 5),
  model('EPYC-Rome', 'rome', 1),
  model('EPYC-Rome-v1', 'rome', 1),
  model('EPYC-Rome-v2', 'rome', 2),
  model('EPYC-Rome-v3', 'rome', 3),
  model('EPYC-Rome-v4', 'rome', 4),
  model('EPYC-Rome-v5', 'rome', 5),
  model('EPYC-Milan', 'milan', 1),
  model('EPYC-Milan-v1', 'milan', 1),
  model('EPYC-Milan-v2', 'milan', 2),
  model('EPYC-Milan-v3', 'milan', 3),
  model('EPYC-Genoa', 'genoa', 1),
  model('EPYC-Genoa-v1', 'genoa', 1),
  model('EPYC-Genoa-v2', 'genoa', 2),
  model('EPYC-Turin', 'turin', 1),
  model('EPYC-Turin-v1', 'turin', 1),
];

const byName = new Map(CPU_MODELS.map((m) => [m.name, m]));

export function cpuModel(name: string): CpuModel | undefined {
  return byName.get(name);
}
