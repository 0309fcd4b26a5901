import { toHex } from '../../../engine/bytes.js';
import { machineImage } from './machine-image.js';
import { runQemu } from './qemu.js';
import { describe, differences, readResult } from './results.js';
import type { Ring0Case } from './ring0-case.js';
import type { Runner } from './runner.js';
import { runVcpu } from './vcpu-machine.js';

const hex = (n: number | bigint): string => n.toString(16);

/** Runs one case on both sides and prints all there is to know. */
export async function explain(runner: Runner, c: Ring0Case): Promise<void> {
  const { patches, gpr, ...state } = c;
  console.log(JSON.stringify(state, (_, v) => (typeof v === 'bigint' || typeof v === 'number' ? hex(v) : v)));
  console.log(gpr.map(hex).join(' '));
  for (const { at, bytes } of patches) console.log(`[${hex(0x1_0000 + at)}] ${toHex(bytes)}`);
  const image = machineImage(runner, [c]);
  const trail: string[] = [];
  const ours = runVcpu(image, {
    trace: ({ registers, state: { cpl } }) => {
      trail.push(`${hex(registers.segment(1).selector)}:${hex(registers.rip)} cpl ${cpl} sp ${hex(registers.get(4))}`);
    },
  });
  const begin = trail.findIndex((line) => Number.parseInt(line.split(':')[1] ?? '0', 16) >= 0x8000);
  console.log(trail.slice(Math.max(0, begin)).slice(0, 12).join('\n'));
  console.log([...ours.missing.values()]);
  const [a, b] = [readResult(ours.ram, 0), readResult(await runQemu(image), 0)];
  for (const [name, result] of [
    ['ours', a],
    ['QEMU', b],
  ] as const) {
    const memory = [...result.memory].map(([at, value]) => `${hex(0x1_0000 + at)}=${hex(value)}`);
    const values = Object.entries(result.values).map(([key, value]) => `${key}=${hex(value)}`);
    console.log(
      `${name}: ${result.status} mode ${result.mode} vector ${result.vector}\n  ${values.join(' ')}\n  ${memory.join(' ')}`,
    );
  }
  console.log(differences(a, b).map(describe).join('\n'));
}
