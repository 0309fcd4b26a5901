import { Random } from '../random.js';
import { type Deviation, excused } from './deviations.js';
import { generators } from './generate/index.js';
import { BATCH, machineImage } from './machine-image.js';
import { runQemu } from './qemu.js';
import { describe, differences, readResult } from './results.js';
import type { Ring0Case } from './ring0-case.js';
import type { Runner } from './runner.js';
import { runVcpu, type VcpuRunOptions } from './vcpu-machine.js';

/** Compares our Vcpu with QEMU, case by case. */

export interface Disagreement {
  readonly index: number;
  readonly generator: string;
  readonly name: string;
  readonly found: readonly string[];
  /** Names of what differs: cases with the same signature have probably the same cause. */
  readonly signature: string;
}

export interface Comparison {
  readonly wrong: readonly Disagreement[];
  /** Cases by generator. */
  readonly cases: ReadonlyMap<string, number>;
  /** Cases that ended in each vector or status, of both machines. */
  readonly ends: ReadonlyMap<string, number>;
  /** Cases that differ as a deviation says. */
  readonly excused: ReadonlyMap<Deviation, number>;
  /** Cases that ended in a Fault for something missing, by its text. */
  readonly missing: ReadonlyMap<string, number>;
}

export interface CompareOptions extends VcpuRunOptions {
  readonly seed: number;
  readonly cases: number;
  /** Generators to use: all whose name matches. */
  readonly only?: RegExp | undefined;
  readonly most?: number;
}

interface Generated {
  readonly generator: string;
  readonly case: Ring0Case;
}

/** The same seed and number give the same case, whatever the others are. */
export function generateCases(runner: Runner, { seed, cases, only }: CompareOptions, first: number): Generated[] {
  const all = generators(runner);
  const names = Object.keys(all).filter((name) => !only || only.test(name));
  const count = Math.min(BATCH, cases - first);
  return Array.from({ length: count }, (_, n) => {
    const random = new Random(Math.imul(seed, 0x9e37_79b1) + Math.imul(first + n, 0x85eb_ca6b));
    const generator = random.pick(names);
    const make = all[generator];
    if (!make) throw new Error(`no generator ${generator}`);
    return { generator, case: make(random) };
  });
}

const add = <K>(map: Map<K, number>, key: K): void => void map.set(key, (map.get(key) ?? 0) + 1);

export async function compareWithQemu(runner: Runner, options: CompareOptions): Promise<Comparison> {
  const { cases, most = 20 } = options;
  const wrong: Disagreement[] = [];
  const counts = new Map<string, number>();
  const ends = new Map<string, number>();
  const allowed = new Map<Deviation, number>();
  const missing = new Map<string, number>();
  for (let first = 0; first < cases && wrong.length < most; first += BATCH) {
    const batch = generateCases(runner, options, first);
    const image = machineImage(
      runner,
      batch.map((g) => g.case),
    );
    const theirs = runQemu(image);
    const ours = runVcpu(image, options);
    const qemu = await theirs;
    batch.forEach(({ generator, case: c }, n) => {
      add(counts, generator);
      const [a, b] = [readResult(ours.ram, n), readResult(qemu, n)];
      add(ends, b.status === 'handler' ? `#${b.vector}` : b.status);
      const fault = ours.missing.get(n);
      if (fault !== undefined) {
        add(missing, fault);
        return;
      }
      const { found, by } = excused(c, a, b, differences(a, b));
      for (const deviation of by) add(allowed, deviation);
      if (found.length > 0)
        wrong.push({
          index: first + n,
          generator,
          name: c.name,
          found: found.map(describe),
          signature: [generator, a.vector, b.vector, ...new Set(found.map((d) => d.what))].join(' '),
        });
    });
  }
  return { wrong, cases: counts, ends, excused: allowed, missing };
}
