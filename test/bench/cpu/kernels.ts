import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The kernels in C, compiled once: an image for the guest, and a program for this machine and for qemu-user. */

export interface Kernel {
  readonly name: string;
  readonly rounds: number;
  /** Bytes that repeated string instructions move in a round: counted in bytes, not in instructions. */
  readonly bytes?: number;
}

export const KERNELS: readonly Kernel[] = [
  { name: 'sha256', rounds: 2000 },
  { name: 'sieve', rounds: 12 },
  { name: 'lz', rounds: 60 },
  { name: 'quicksort', rounds: 6 },
  { name: 'bytecode', rounds: 1_500_000 },
  { name: 'strings', rounds: 200_000 },
  { name: 'memory', rounds: 400, bytes: 2 << 20 },
];

export interface Compiled {
  readonly image: Uint8Array;
  readonly program: string;
}

export function compileKernels(): Compiled {
  const source = process.env['BENCH_SOURCE'] ?? 'test/bench/cpu';
  const folder = mkdtempSync(join(tmpdir(), 'cpu-bench-'));
  const at = (name: string): string => join(folder, name);
  const plain = ['-O2', '-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-fcf-protection=none', '-fno-pic'];
  const run = (command: string, words: readonly string[]): void => {
    execFileSync(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  };
  run('gcc', [
    ...plain,
    '-w',
    '-mgeneral-regs-only',
    '-ffreestanding',
    '-c',
    join(source, 'kernels.c'),
    '-o',
    at('kernels.o'),
  ]);
  const script = join(source, 'kernels.ld');
  run('ld', ['-static', '--build-id=none', '-T', script, '-e', 'run', at('kernels.o'), '-o', at('guest')]);
  const flags = ['-O', 'binary', '-j', '.all', '--set-section-flags', '.all=alloc,load,contents'];
  run('objcopy', [...flags, at('guest'), at('guest.bin')]);
  const native = ['-no-pie', '-static', join(source, 'native.c'), at('kernels.o'), '-o', at('native')];
  run('gcc', [...plain, ...native]);
  return { image: readFileSync(at('guest.bin')), program: at('native') };
}

export interface Outside {
  readonly result: string;
  readonly milliseconds: number;
}

/** Best of three runs; undefined where the emulator is not installed. */
export function runOutside(program: string, kernel: number, rounds: number, emulator?: string): Outside | undefined {
  let best: Outside | undefined;
  for (let n = 0; n < 3; n++) {
    const words = [program, String(kernel), String(rounds)];
    const [command = program, ...rest] = emulator === undefined ? words : [emulator, ...words];
    const { status, stdout, error } = spawnSync(command, rest, { encoding: 'utf8' });
    if (error && 'code' in error && error.code === 'ENOENT') return undefined;
    if (status !== 0) throw new Error(`${command} ended with ${status ?? error?.message}`);
    const [result = '', nanoseconds = ''] = stdout.trim().split(' ');
    const milliseconds = Number(nanoseconds) / 1e6;
    if (!best || milliseconds < best.milliseconds) best = { result, milliseconds };
  }
  return best;
}
