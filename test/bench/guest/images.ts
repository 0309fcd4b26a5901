import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { KERNELS } from '../cpu/kernels.js';

/** Firmware images of 64 KiB for measuring: built with gcc on the runtime of the sample guests. */

const FLAGS = [
  ...['-std=c17', '-O2', '-Wall', '-Wextra', '-Werror', '-ffreestanding', '-fpie', '-fvisibility=hidden'],
  ...['-march=x86-64', '-mgeneral-regs-only', '-mno-red-zone', '-fcf-protection=none', '-fno-stack-protector'],
  ...['-fno-stack-clash-protection', '-fno-jump-tables', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables'],
  ...['-fno-strict-aliasing', '-fno-tree-loop-distribute-patterns'],
];
/** As test/bench/cpu compiles them for its image and for the native program. */
const KERNEL_FLAGS = [
  ...['-O2', '-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-fcf-protection=none', '-fno-pic', '-w'],
  ...['-mgeneral-regs-only', '-ffreestanding'],
];
const LINK = [
  '-m',
  'elf_x86_64',
  '-nostdlib',
  '-static',
  '--build-id=none',
  '-z',
  'noexecstack',
  '-z',
  'max-page-size=16',
];

/** QEMU's system emulation moves bytes one by one. */
export const GUEST_ROUNDS: readonly number[] = KERNELS.map(({ rounds, bytes }) => (bytes ? rounds / 10 : rounds));

export interface GuestImages {
  /** Paths of images. */
  readonly kernels: string;
  readonly costs: string;
  readonly touch: string;
  /** The kernels without SNP, for qemu-system. */
  readonly plain: string;
  remove(): void;
}

/** `touchedBytes`: what the guest of `touch` accepts and writes to, a multiple of 2 MiB. */
export function buildImages(touchedBytes: number): GuestImages {
  const source = resolve('test/bench/guest');
  const library = resolve('samples/guests/lib');
  const folder = mkdtempSync(join(tmpdir(), 'snp-bench-guest-'));
  const at = (name: string): string => join(folder, name);
  const run = (tool: string, words: readonly string[]): void => {
    execFileSync(tool, words, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  };
  let count = 0;
  const compile = (file: string, flags: readonly string[] = FLAGS): string => {
    const object = at(`${count++}.o`);
    run('gcc', [...flags, '-I', library, '-I', source, '-c', '-o', object, file]);
    return object;
  };
  const image = (name: string, objects: readonly string[]): string => {
    run('ld', [...LINK, '-T', join(library, 'image.ld'), '-o', at(`${name}.elf`), ...objects]);
    run('objcopy', ['-O', 'binary', at(`${name}.elf`), at(`${name}.fd`)]);
    return at(`${name}.fd`);
  };

  const kernels = compile(resolve('test/bench/cpu/kernels.c'), KERNEL_FLAGS);
  const head = compile(join(source, 'program.S'));
  run('ld', [...LINK, '-T', join(source, 'program.ld'), '-e', 'run', '-o', at('program.elf'), head, kernels]);
  run('objcopy', ['-O', 'binary', '-j', '.all', at('program.elf'), at('program.bin')]);
  const program = compile(join(source, 'program-bytes.S'));
  const rounds = `-DKERNEL_ROUNDS=${GUEST_ROUNDS.join(',')}`;
  const runner = compile(join(source, 'run-kernels.c'), [...FLAGS, rounds]);

  const sources = readdirSync(library).filter((name) => /\.[cS]$/.test(name));
  const runtime = sources.filter((name) => name !== 'reset.S').map((name) => compile(join(library, name)));
  run('ar', ['rcD', at('lib.a'), ...runtime]);
  const snp = [compile(join(library, 'reset.S')), at('lib.a')];
  const guest = (name: string, ...more: string[]): string => compile(join(source, `${name}.c`), [...FLAGS, ...more]);
  return {
    kernels: image('kernels', [guest('kernels-guest'), runner, program, ...snp]),
    costs: image('costs', [guest('costs-guest'), ...snp]),
    touch: image('touch', [guest('touch-guest', `-DTOUCHED=${touchedBytes}u`), ...snp]),
    plain: image('plain', [compile(join(source, 'plain.S')), guest('kernels-plain'), runner, program]),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
