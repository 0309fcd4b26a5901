import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The C program that executes cases on this machine's processor, and the format in which it takes them. */

export const CODE_AT = 0x1000_0000;
export const DATA_AT = 0x2000_0000;
export const DATA_SIZE = 8192;
export const WINDOW_SIZE = 512;
/** The window with random content lies across the boundary of the two data pages. */
export const WINDOW_OFFSET = DATA_SIZE / 2 - WINDOW_SIZE / 2;
/** `trap` of a case that ran to its end. */
export const NO_TRAP = 0xffff_ffff_ffff_ffffn;

/** Bytes of an FXSAVE image: x87, MMX, XMM and MXCSR. */
export const UNIT_SIZE = 512;
const INPUT_SIZE = 8 + 128 + 8 + UNIT_SIZE + WINDOW_SIZE + 64;
const OUTPUT_SIZE = 32 + 128 + 8 + UNIT_SIZE + WINDOW_SIZE + 8;

export interface NativeCase {
  readonly code: Uint8Array;
  readonly gpr: readonly bigint[];
  readonly flags: number;
  /** Image of FXSAVE with REX.W. */
  readonly unit: Uint8Array;
  readonly window: Uint8Array;
}

export interface NativeResult {
  readonly trap: bigint;
  readonly rip: bigint;
  readonly cr2: bigint;
  readonly error: bigint;
  readonly gpr: readonly bigint[];
  readonly flags: number;
  /** Image of FXSAVE with REX.W. */
  readonly unit: Uint8Array;
  readonly window: Uint8Array;
  readonly checksum: number;
}

/**
 * Is this machine's processor one of AMD? Others have condition codes, pointers and tables of their own in the x87 and
 * SSE units.
 */
export const isAmd = existsSync('/proc/cpuinfo') && readFileSync('/proc/cpuinfo', 'utf8').includes('AuthenticAMD');

let program: string | undefined;

/** Undefined where there is no compiler or another processor. */
export function compileNative(): string | undefined {
  if (program !== undefined) return program;
  if (process.arch !== 'x64' || process.platform !== 'linux') return undefined;
  const binary = join(mkdtempSync(join(tmpdir(), 'cpu-oracle-')), 'native');
  const source = fileURLToPath(new URL('native.c', import.meta.url));
  // Position independent: loaded far above the addresses that random instructions reach.
  try {
    execFileSync('gcc', ['-O1', '-static-pie', '-fPIE', '-o', binary, source], { stdio: 'pipe' });
  } catch {
    return undefined;
  }
  program = binary;
  return binary;
}

export function runNative(cases: readonly NativeCase[]): NativeResult[] {
  const binary = compileNative();
  if (binary === undefined) throw new Error('no native oracle here');
  const input = new Uint8Array(cases.length * INPUT_SIZE);
  const view = new DataView(input.buffer);
  cases.forEach((c, n) => {
    const at = n * INPUT_SIZE;
    view.setBigUint64(at, BigInt(c.code.length), true);
    c.gpr.forEach((value, r) => {
      view.setBigUint64(at + 8 + 8 * r, value, true);
    });
    view.setBigUint64(at + 136, BigInt(c.flags), true);
    input.set(c.unit, at + 144);
    input.set(c.window, at + 144 + UNIT_SIZE);
    input.set(c.code, at + 144 + UNIT_SIZE + WINDOW_SIZE);
  });
  const run = spawnSync(binary, { input, maxBuffer: 1 << 30 });
  if (run.status !== 0 || run.stdout.length !== cases.length * OUTPUT_SIZE) {
    throw new Error(`native oracle ended after ${run.stdout.length / OUTPUT_SIZE} cases: ${run.signal ?? run.status}`);
  }
  const out = new DataView(run.stdout.buffer, run.stdout.byteOffset, run.stdout.length);
  return cases.map((_, n) => {
    const at = n * OUTPUT_SIZE;
    return {
      trap: out.getBigUint64(at, true),
      rip: out.getBigUint64(at + 8, true),
      cr2: out.getBigUint64(at + 16, true),
      error: out.getBigUint64(at + 24, true),
      gpr: Array.from({ length: 16 }, (__, r) => out.getBigUint64(at + 32 + 8 * r, true)),
      flags: Number(out.getBigUint64(at + 160, true)),
      unit: run.stdout.subarray(at + 168, at + 168 + UNIT_SIZE),
      window: run.stdout.subarray(at + 168 + UNIT_SIZE, at + 168 + UNIT_SIZE + WINDOW_SIZE),
      checksum: Number(out.getBigUint64(at + 168 + UNIT_SIZE + WINDOW_SIZE, true)),
    };
  });
}
