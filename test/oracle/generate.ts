import { decode } from '../../engine/cpu/decoder/decode.js';
import { createInstruction } from '../../engine/cpu/decoder/instruction.js';
import type { Encoding } from '../../engine/cpu/encodings/encoding.js';
import { ENCODINGS, hasModRm } from '../../engine/cpu/encodings/table.js';
import { definitionOf } from '../../engine/cpu/semantics/index.js';
import { systemInstruction } from '../../engine/cpu/system/instructions.js';
import { DATA_AT, isAmd, type NativeCase, WINDOW_SIZE } from './native.js';
import type { Random } from './random.js';
import { APPROXIMATE } from './unit-differences.js';
import { floatBytes, unitState } from './unit-state.js';

/** Random instruction sequences from the table of encodings, and states on which they have something to do. */

/** Branches whose target is not beside the instruction. */
const FAR_AWAY = /^(JMP_INDIRECT|CALL_INDIRECT|RET)$/;

/** Instructions of the x87, MMX and XMM units that TypeScript executes; where they differ, it follows AMD. */
const isUnitInstruction = (row: Encoding): boolean =>
  isAmd &&
  systemInstruction(row.semantics) !== undefined &&
  ((row.map === 0 && row.opcode >= 0xd8 && row.opcode <= 0xdf) ||
    /_MMX$|^(FWAIT|EMMS|LDMXCSR|STMXCSR|FXSAVE|FXRSTOR)$/.test(row.semantics) ||
    row.operands.some((o) => o[0] === 'V'));

/** Rows that user mode can execute and the engine claims. */
export const CLAIMED: readonly Encoding[] = ENCODINGS.filter(
  (row) =>
    (definitionOf(row.semantics) !== undefined || isUnitInstruction(row)) &&
    row.modes !== 'legacy' &&
    !row.privileged &&
    !FAR_AWAY.test(row.semantics) &&
    !row.operands.some((o) => /^[A-Z]S$/.test(o) || o === 'Sw'),
);

/** Pointers into the window, near the page boundary in its middle. */
const pointer = (random: Random): bigint => BigInt(DATA_AT + 4096 - 120 + random.below(240));
const INTERESTING = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn].flatMap(
  (v) => [v, BigInt.asUintN(64, -v), v << 32n],
);

const randomBytes = (random: Random): Uint8Array => Uint8Array.from({ length: WINDOW_SIZE }, () => random.u32() >>> 3);

const decoded = createInstruction();

function modrmBytes(random: Random, row: Encoding, pointers: readonly number[], small: readonly number[]): number[] {
  const reg = row.extension ?? random.below(8);
  const register = row.mod === 'register' || (row.mod !== 'memory' && random.chance(2));
  if (register) return [0xc0 | (reg << 3) | (row.rm ?? random.below(8))];
  const base = random.chance(16) ? random.below(16) : random.pick(pointers);
  const useSib = (base & 7) === 4 || random.chance(3);
  const mod = random.pick([0, 1, 1, 2]);
  const out = [(mod << 6) | (reg << 3) | (useSib ? 4 : base & 7)];
  if (useSib) {
    const index = random.chance(2) ? 4 : random.pick(small);
    out.push((random.below(4) << 6) | ((index & 7) << 3) | (base & 7));
  }
  const displacement = random.below(64) - 32;
  const noBase = mod === 0 && (base & 7) === 5;
  if (mod === 1) out.push(displacement & 0xff);
  else if (mod === 2 || noBase) {
    // Without a base the address is absolute, or relative to RIP.
    const value = noBase ? DATA_AT + 4096 + displacement - (useSib ? 0 : 0x1000_0010) : displacement;
    out.push(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff);
  }
  return out;
}

function prefixBytes(random: Random, row: Encoding, rexBase: number): number[] {
  const out: number[] = [];
  if (row.lockable && random.chance(8)) out.push(0xf0);
  if (random.chance(24)) out.push(0x67);
  if (random.chance(32)) out.push(0x65);
  const hasWidth = row.operands.some((o) => /[vzy]$/.test(o)) || row.operands.length === 0;
  if (
    row.prefix === undefined || row.prefix === 'NFx'
      ? hasWidth && random.chance(4)
      : row.prefix === 0xf2 && hasWidth && random.chance(4)
  ) {
    out.push(0x66);
  }
  if (typeof row.prefix === 'number' && row.prefix !== 0) out.push(row.prefix);
  else if (row.repeat !== 'none' && random.chance(2)) out.push(row.repeat === 'rep' ? 0xf3 : random.pick([0xf2, 0xf3]));
  const rex = rexBase | (random.chance(3) ? 8 : 0) | (random.chance(4) ? 4 : 0);
  if (rex !== 0 || random.chance(6)) out.push(0x40 | rex);
  return out;
}

const MAP_BYTES = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];

/** One instruction of the row; undefined when luck made it another row. */
function instruction(
  random: Random,
  row: Encoding,
  pointers: readonly number[],
  small: readonly number[],
  skip: number,
): Uint8Array | undefined {
  const opcode = row.registerInOpcode ? row.opcode + random.below(8) : row.opcode;
  const tail = hasModRm(row) ? modrmBytes(random, row, pointers, small) : [];
  const isBranch = row.operands.some((o) => o === 'Jb' || o === 'Jz');
  // Immediates: the decoder says how long they are; branches skip the instruction that follows.
  const immediate = isBranch
    ? [skip, 0, 0, 0]
    : Array.from({ length: 8 }, () => (random.chance(3) ? random.pick([0, 1, 0xff, 0x80]) : random.u32() & 0xff));
  const rexBase = random.chance(3) ? random.below(4) & 1 : 0;
  const bytes = Uint8Array.from([
    ...prefixBytes(random, row, rexBase),
    ...(MAP_BYTES[row.map] ?? []),
    opcode,
    ...tail,
    ...immediate,
    ...[0, 0, 0, 0, 0, 0, 0, 0],
  ]);
  if (isBranch && bytes.includes(0x66)) return undefined;
  const status = decode(bytes, 0, bytes.length, 64, decoded);
  if (status !== 'ok' || decoded.encoding?.id !== row.id) return undefined;
  return bytes.slice(0, decoded.length);
}

/** Do earlier instructions leave a flag undefined that this one reads? */
const reads = (row: Encoding, undefinedFlags: ReadonlySet<string>): boolean =>
  [...row.flags.reads].some((flag) => undefinedFlags.has(flag)) ||
  (row.semantics === 'PUSHF' && undefinedFlags.size > 0);

/** May leave all flags as they were: a count of zero. */
const KEEPS_FLAGS = /^(ROL|ROR|RCL|RCR|SHL|SHR|SAR|SHLD|SHRD|CMPS|SCAS)$/;

export interface GeneratedCase extends NativeCase {
  readonly rows: readonly Encoding[];
  /** Flags that no manual defines at the end. */
  readonly undefinedFlags: string;
}

export function generateCase(random: Random, rows: readonly Encoding[] = CLAIMED): GeneratedCase {
  const pointers: number[] = [4];
  const small: number[] = [];
  const gpr = Array.from({ length: 16 }, (_, n) => {
    const kind = n === 4 ? 0 : random.below(10);
    if (kind < 4) {
      if (n !== 4) pointers.push(n);
      const value = pointer(random);
      return n === 4 ? value & ~7n : value;
    }
    if (kind < 6) {
      if (n !== 4) small.push(n);
      return BigInt.asUintN(64, BigInt(random.below(40) - 8));
    }
    return kind < 8 ? random.pick(INTERESTING) : random.u64();
  });
  if (small.length === 0) {
    small.push(9);
    gpr[9] = 3n;
  }
  const used: Encoding[] = [];
  const parts: Uint8Array[] = [];
  const undefinedFlags = new Set<string>();
  const count = 1 + random.below(3);
  while (used.length < count) {
    const row = random.pick(rows);
    if (reads(row, undefinedFlags)) continue;
    const isBranch = row.operands.some((o) => o === 'Jb' || o === 'Jz');
    let skipped: { row: Encoding; bytes: Uint8Array } | undefined;
    if (isBranch) {
      const next = random.pick(rows);
      const bytes =
        next.ends || reads(next, undefinedFlags) ? undefined : instruction(random, next, pointers, small, 0);
      if (!bytes) continue;
      skipped = { row: next, bytes };
    }
    const bytes = instruction(random, row, pointers, small, skipped?.bytes.length ?? 0);
    if (!bytes) continue;
    for (const [r, b] of [[row, bytes] as const, ...(skipped ? [[skipped.row, skipped.bytes] as const] : [])]) {
      used.push(r);
      parts.push(b);
      for (const flag of r.flags.undefined) undefinedFlags.add(flag);
      if (!isBranch && !KEEPS_FLAGS.test(r.semantics)) for (const flag of r.flags.writes) undefinedFlags.delete(flag);
    }
    // What comes after a result that may differ could make more of the difference.
    if (APPROXIMATE.test(row.semantics)) break;
    if (row.repeat !== 'none') gpr[1] = BigInt(random.below(12));
  }
  const code = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0));
  let at = 0;
  for (const part of parts) {
    code.set(part, at);
    at += part.length;
  }
  return {
    code,
    gpr,
    flags: 0x202 | (random.u32() & 0x8d5) | (random.chance(4) ? 0x400 : 0),
    unit: unitState(random),
    window: random.chance(2) ? floatBytes(random, WINDOW_SIZE) : randomBytes(random),
    rows: used,
    undefinedFlags: [...undefinedFlags].join(''),
  };
}
