import { toHex } from '../../engine/bytes.js';
import type { Encoding } from '../../engine/cpu/encodings/encoding.js';
import { explainFault } from '../../engine/fault.js';
import { type GeneratedCase, generateCase } from './generate.js';
import { type NativeResult, NO_TRAP, runNative } from './native.js';
import { Random } from './random.js';
import { describeUnits, unitDifferences } from './unit-differences.js';
import { UserMachine } from './user-machine.js';

/** Compares our CPU with the processor of this machine, case by case. */

const FLAG_BIT: Readonly<Record<string, number>> = { C: 0x1, P: 0x4, A: 0x10, Z: 0x40, S: 0x80, O: 0x800, D: 0x400 };
const COMPARED_FLAGS = 0x8d5 | 0x400;
const USER_SPACE_END = 0x7fff_ffff_f000n;
const NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const hex = (n: bigint | number): string => n.toString(16);

function differences(c: GeneratedCase, ours: NativeResult, native: NativeResult): string[] {
  const out: string[] = [];
  const compare = (name: string, a: bigint | number, b: bigint | number): void => {
    if (a !== b) out.push(`${name} ${hex(a)}, native ${hex(b)}`);
  };
  compare('trap', ours.trap, native.trap);
  compare('rip', ours.rip, native.rip);
  compare('cr2', ours.cr2, native.cr2);
  // Linux sets P in the error code of every fault above user space, to hide what is mapped there.
  const hidden = native.trap === 14n && native.cr2 >= USER_SPACE_END ? 1n : 0n;
  compare('error code', ours.error | hidden, native.error);
  NAMES.forEach((name, n) => {
    compare(name, ours.gpr[n] ?? 0n, native.gpr[n] ?? 0n);
  });
  let mask = COMPARED_FLAGS;
  // After a fault the last instructions, which might have defined a flag again, did not run.
  const maybeUndefined = native.trap === NO_TRAP ? c.undefinedFlags : c.rows.map((r) => r.flags.undefined).join('');
  for (const flag of maybeUndefined) mask &= ~(FLAG_BIT[flag] ?? 0);
  compare('flags', ours.flags & mask, native.flags & mask);
  out.push(...unitDifferences(c, ours.unit, native.unit));
  const at = ours.window.findIndex((byte, n) => byte !== native.window[n]);
  if (at >= 0) {
    const [a, b] = [ours, native].map(({ window }) => toHex(window.subarray(at, at + 28)));
    out.push(`memory from window + ${at} ${a}, native ${b}`);
  } else compare('memory checksum', ours.checksum, native.checksum);
  return out;
}

export interface Comparison {
  readonly wrong: readonly string[];
  /** How often each row was executed, by id. */
  readonly executed: ReadonlyMap<number, number>;
}

const BATCH = 10_000;
const MACHINE_LIFETIME = 5 * BATCH;

/** Stops after `most` disagreements. */
export function compareWithNative(seed: number, cases: number, most = 10, rows?: readonly Encoding[]): Comparison {
  const random = new Random(seed);
  let machine = new UserMachine();
  const executed = new Map<number, number>();
  const wrong: string[] = [];
  for (let done = 0; done < cases && wrong.length < most; done += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, cases - done) }, () => generateCase(random, rows));
    const native = runNative(batch);
    // Random cases need far more forms than a program; a new machine lets go of their code.
    if (done % MACHINE_LIFETIME === 0) machine = new UserMachine();
    batch.forEach((c, n) => {
      const expected = native[n];
      if (!expected || wrong.length >= most) return;
      for (const row of c.rows) executed.set(row.id, (executed.get(row.id) ?? 0) + 1);
      const { result, end } = machine.run(c);
      const found = end.reason === 'fault' ? [explainFault(end.fault)] : differences(c, result, expected);
      if (found.length > 0) {
        const texts = c.rows.map((row) => row.text).join('; ');
        const inputs = NAMES.map((name, r) => `${name}=${hex(c.gpr[r] ?? 0n)}`).join(' ');
        wrong.push(
          `${texts} (${toHex(c.code)}): ${found.join(', ')} | flags=${hex(c.flags)} ${inputs}${describeUnits(c)}`,
        );
      }
    });
  }
  return { wrong, executed };
}
