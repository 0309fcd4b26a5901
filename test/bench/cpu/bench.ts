import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cpu } from '../../../engine/cpu/cpu.js';
import type { CpuEnvironment } from '../../../engine/cpu/environment.js';

/**
 * Million guest instructions a second on six kernels in C, compiled here. Results are compared with the same code run
 * natively. `node bench.mjs [kernel …]` after bundling; see scripts/bench-cpu.mjs.
 */

const KERNELS = [
  { name: 'sha256', rounds: 2000 },
  { name: 'sieve', rounds: 12 },
  { name: 'lz', rounds: 60 },
  { name: 'quicksort', rounds: 6 },
  { name: 'bytecode', rounds: 1_500_000 },
  { name: 'strings', rounds: 200_000 },
];
const LOAD_AT = 0x10_0000;
const STACK = 0x3f_fff0;
const GUEST_BYTES = 0x100_0000;

const source = process.env['BENCH_SOURCE'] ?? 'test/bench/cpu';
const folder = mkdtempSync(join(tmpdir(), 'cpu-bench-'));

function compile(): { image: Uint8Array; native: string } {
  const common = [
    '-O2',
    '-fno-stack-protector',
    '-fno-asynchronous-unwind-tables',
    '-fcf-protection=none',
    '-fno-pic',
    '-w',
    join(source, 'kernels.c'),
  ];
  const guest = ['-mgeneral-regs-only', '-ffreestanding', '-static', '-nostdlib', '-no-pie', '-Wl,--build-id=none'];
  const linked = join(folder, 'kernels.elf');
  execFileSync('gcc', [...common, ...guest, '-T', join(source, 'kernels.ld'), '-Wl,-e,run', '-o', linked]);
  const flat = join(folder, 'kernels.bin');
  execFileSync('objcopy', [
    '-O',
    'binary',
    '-j',
    '.all',
    '--set-section-flags',
    '.all=alloc,load,contents',
    linked,
    flat,
  ]);
  const native = join(folder, 'native');
  execFileSync('gcc', [...common, '-no-pie', '-DNATIVE', '-o', native]);
  return { image: readFileSync(flat), native };
}

/** 64-bit mode, CPL 0, memory mapped one to one. */
function createMachine(image: Uint8Array): Cpu {
  const environment: CpuEnvironment = {
    mode: { codeSize: 64, stackSize: 64, vectors: true, floats: true },
    context: 0,
    translate: (linear) => ({ page: cpu.guestStart / 4096 + Number(linear >> 12n), writable: true }),
    execute: (instruction) => {
      if (instruction.encoding?.mnemonic !== 'HLT') return false;
      throw { kind: 'stop', reason: 'halt', fault: undefined };
    },
    deliver: () => false,
  };
  const cpu: Cpu = new Cpu({ guestBytes: GUEST_BYTES }, environment);
  cpu.bytes.set(image, cpu.guestStart + LOAD_AT);
  return cpu;
}

interface Timed {
  readonly instructions: number;
  readonly milliseconds: number;
  readonly result: bigint;
}

function timed(image: Uint8Array, kernel: number, rounds: number, warmUp: boolean): Timed {
  const cpu = createMachine(image);
  const once = (n: number): Timed => {
    cpu.bytes.fill(0, cpu.guestStart, cpu.guestStart + GUEST_BYTES);
    cpu.bytes.set(image, cpu.guestStart + LOAD_AT);
    cpu.registers.set(4, BigInt(STACK));
    cpu.registers.set(7, BigInt(kernel));
    cpu.registers.set(6, BigInt(n));
    cpu.registers.flags = 2;
    cpu.registers.rip = BigInt(LOAD_AT);
    const before = cpu.instructions;
    const start = performance.now();
    const end = cpu.run(1e12);
    if (end.reason !== 'halt')
      throw new Error(
        `kernel ended with ${JSON.stringify(end, (_, v) => (typeof v === 'bigint' ? v.toString(16) : v))}`,
      );
    const milliseconds = performance.now() - start;
    return { instructions: cpu.instructions - before, milliseconds, result: cpu.registers.get(0) };
  };
  if (warmUp) once(Math.ceil(rounds / 4));
  const runs = [once(rounds), once(rounds), once(rounds)];
  const best = runs.reduce((a, b) => (a.milliseconds < b.milliseconds ? a : b));
  if (runs.some((r) => r.result !== best.result || r.instructions !== best.instructions))
    throw new Error('runs differ');
  return best;
}

const { image, native } = compile();
const wanted = process.argv.slice(2);
let product = 1;
let count = 0;
for (const [index, { name, rounds }] of KERNELS.entries()) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const expected = execFileSync(native, [String(index), String(rounds)], { encoding: 'utf8' }).trim();
  const { instructions, milliseconds, result } = timed(image, index, rounds, true);
  const ours = result.toString(16).padStart(16, '0');
  if (ours !== expected) throw new Error(`${name}: ${ours}, natively ${expected}`);
  const mips = instructions / milliseconds / 1000;
  product *= mips;
  count++;
  console.log(
    `${name.padEnd(10)} ${instructions.toString().padStart(11)} instructions ${mips.toFixed(0).padStart(5)} MIPS`,
  );
}
console.log(`geometric mean ${(product ** (1 / count)).toFixed(0)} MIPS`);
