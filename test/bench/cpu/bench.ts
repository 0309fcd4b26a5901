import { firstTouch } from './first-touch.js';
import { compileKernels, KERNELS, runOutside } from './kernels.js';
import { runKernel } from './machine.js';

/**
 * Million guest instructions a second on kernels in C, and what share of the speed of QEMU's TCG (where qemu-user is
 * installed) and of this machine's processor that is: same object code, same run. `node scripts/bench-cpu.mjs
 * [kernel …]`. Results are compared with the native ones.
 */

const QEMU = 'qemu-x86_64';
const geometric = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
const ratio = (value: number | undefined): string => (value === undefined ? '–' : value.toFixed(3)).padStart(8);

const touched = process.argv.length > 2 ? undefined : firstTouch();
if (touched) {
  const { blocks, instructions, forms, mean, first, median } = touched;
  console.log(
    `first touch: ${mean.toFixed(1)} µs a block (first ${first.toFixed(1)}, median of batches ${median.toFixed(1)}), ` +
      `${blocks} blocks of ${(instructions / blocks).toFixed(1)} instructions, ${forms} forms\n`,
  );
}

const { image, program } = compileKernels();
const wanted = process.argv.slice(2);
const speeds: number[] = [];
const toQemu: number[] = [];
const toNative: number[] = [];
console.log('kernel         instructions      speed   of TCG  of native');
for (const [index, { name, rounds, bytes }] of KERNELS.entries()) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const native = runOutside(program, index, rounds);
  const qemu = runOutside(program, index, rounds, QEMU);
  const ours = runKernel(image, index, rounds);
  for (const other of [native, qemu])
    if (other && other.result !== ours.result) throw new Error(`${name}: ${ours.result}, elsewhere ${other.result}`);
  const mips = ours.instructions / ours.milliseconds / 1000;
  const ofNative = native && native.milliseconds / ours.milliseconds;
  const ofQemu = qemu && qemu.milliseconds / ours.milliseconds;
  const gigabytes = bytes === undefined ? undefined : (bytes * rounds) / ours.milliseconds / 1e6;
  const speed = gigabytes === undefined ? `${mips.toFixed(0)} MIPS` : `${gigabytes.toFixed(1)} GB/s`;
  console.log(
    `${name.padEnd(10)} ${ours.instructions.toString().padStart(16)} ${speed.padStart(10)} ${ratio(ofQemu)}   ${ratio(ofNative)}`,
  );
  if (bytes !== undefined) continue;
  speeds.push(mips);
  if (ofNative !== undefined) toNative.push(ofNative);
  if (ofQemu !== undefined) toQemu.push(ofQemu);
}
if (speeds.length > 0) {
  const of = (values: readonly number[]): string => ratio(values.length > 0 ? geometric(values) : undefined);
  console.log(
    `geometric mean without memory${`${geometric(speeds).toFixed(0)} MIPS`.padStart(9)} ${of(toQemu)}   ${of(toNative)}`,
  );
  if (toQemu.length === 0) console.log(`(no ${QEMU} here to compare with)`);
}
