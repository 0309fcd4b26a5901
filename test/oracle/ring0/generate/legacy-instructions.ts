import { decode } from '../../../../engine/cpu/decoder/decode.js';
import { createInstruction, type Instruction, OperandPlace } from '../../../../engine/cpu/decoder/instruction.js';
import type { Encoding } from '../../../../engine/cpu/encodings/encoding.js';
import { ENCODINGS, hasModRm } from '../../../../engine/cpu/encodings/table.js';
import { definitionOf } from '../../../../engine/cpu/semantics/index.js';
import type { Random } from '../../random.js';
import { type Draft, draft, finish, offsetIn } from '../draft.js';
import { PLACE } from '../layout.js';
import type { Ring0Case } from '../ring0-case.js';
import { AX, BP, BX, CX, DI, SI, SP } from './bytes.js';

/** One instruction of the integer rows in 16-bit and 32-bit code: the native oracle has 64-bit code only. */

const IN_TYPESCRIPT = /^(DAA|DAS|AAA|AAS|AAM|AAD|PUSHA|POPA|ENTER|LAHF|SAHF|BOUND|ARPL)$/;
/** Undefined results, or things that other generators do. */
const ELSEWHERE = /^(BSF|BSR|INT|INTO|RDTSC|CPUID|PAUSE|JMP_INDIRECT|CALL_INDIRECT|RET|PUSHF)$/;

export const LEGACY_ROWS: readonly Encoding[] = ENCODINGS.filter(
  (row) =>
    row.modes !== 'long' &&
    row.map <= 1 &&
    !row.privileged &&
    (definitionOf(row.semantics) !== undefined || IN_TYPESCRIPT.test(row.semantics)) &&
    !ELSEWHERE.test(row.semantics) &&
    !row.operands.some((o) => /^[VWUPQNCD]/.test(o) || o === 'Sw' || /^[A-Z]S$/.test(o)) &&
    !(row.opcode >= 0xd8 && row.opcode <= 0xdf && row.map === 0),
);

/** TEST F6 /1, F7 /1 and prefetches of a register are #UD in TCG; BSWAP of 16 bits has no defined result. */
const notInTcg = (row: Encoding, d: Instruction): boolean =>
  (row.semantics === 'TEST' && row.extension === 1) ||
  (row.map === 1 && row.opcode === 0x18) ||
  (row.semantics === 'BSWAP' && d.operandSize === 2);

/** Without a stack the handler cannot say anything. */
const changesStack = (d: Instruction): boolean =>
  d.operands.some(
    (o) => o.place !== OperandPlace.memory && o.place !== OperandPlace.immediate && o.size > 1 && o.register === SP,
  );

const FLAG_BIT: Readonly<Record<string, number>> = { C: 1, P: 4, A: 0x10, Z: 0x40, S: 0x80, O: 0x800 };
const decoded = createInstruction();

/** ModRM with a register, or with memory at a displacement of zero or a few bytes from a pointer. */
function modrm(random: Random, d: Draft, row: Encoding): number[] {
  const reg = row.extension ?? random.below(8);
  const isRegister = row.mod === 'register' || (row.mod !== 'memory' && random.chance(2));
  if (isRegister) return [0xc0 | (reg << 3) | (row.rm ?? random.below(8))];
  // BX and DI alone, or BX with SI (which is small); the same with ESI scaled by a SIB byte.
  const displacement = random.below(32);
  if (d.bits === 16) return [0x40 | (reg << 3) | random.pick([5, 7, 0]), displacement];
  const bases = [BX, DI];
  if (random.chance(3))
    return [0x44 | (reg << 3), (random.below(3) << 6) | (SI << 3) | random.pick(bases), displacement];
  return [0x40 | (reg << 3) | random.pick(bases), displacement];
}

function instruction(random: Random, d: Draft, row: Encoding): Uint8Array | undefined {
  const opcode = row.registerInOpcode ? row.opcode + random.below(8) : row.opcode;
  const isBranch = row.operands.some((o) => o === 'Jb' || o === 'Jz');
  const isAbsolute = row.operands.some((o) => o === 'Ob' || o === 'Ov');
  const at = offsetIn(d.mode, PLACE.data + 0x80);
  const immediate = isBranch
    ? [random.below(4), 0, 0, 0]
    : isAbsolute
      ? [at & 0xff, (at >> 8) & 0xff, (at >> 16) & 0xff, 0]
      : row.semantics === 'ENTER'
        ? [random.below(32), 0, random.below(3)]
        : /^SH[LR]D$/.test(row.semantics)
          ? [random.below(16)]
          : Array.from({ length: 8 }, () => (random.chance(3) ? random.pick([0, 1, 0xff, 0x80]) : random.u32() & 0xff));
  const hasWidth = row.operands.some((o) => /[vzy]$/.test(o)) || row.operands.length === 0;
  const prefixes: number[] = [];
  if (row.prefix === 0x66 || (row.prefix === undefined && hasWidth && !isBranch && random.chance(3)))
    prefixes.push(0x66);
  if (typeof row.prefix === 'number' && row.prefix > 0x66) prefixes.push(row.prefix);
  else if (row.repeat !== 'none' && random.chance(2))
    prefixes.push(row.repeat === 'rep' ? 0xf3 : random.pick([0xf2, 0xf3]));
  const bytes = Uint8Array.from([
    ...prefixes,
    ...(row.map === 1 ? [0x0f] : []),
    opcode,
    ...(hasModRm(row) ? modrm(random, d, row) : []),
    ...immediate,
    ...new Array<number>(8).fill(0xcc),
  ]);
  if (decode(bytes, 0, bytes.length, d.bits, decoded) !== 'ok' || decoded.encoding?.id !== row.id) return undefined;
  if (notInTcg(row, decoded) || (d.cpl === 0 && changesStack(decoded))) return undefined;
  return bytes.slice(0, decoded.length);
}

export function legacyInstructions(random: Random): Ring0Case {
  const mode = random.pick(['real16', 'legacy16', 'legacy32', 'legacy32', 'compat32', 'compat16'] as const);
  const d = draft(random, 'instruction', { mode, cpl: mode === 'real16' ? 0 : 3 });
  const data = BigInt(offsetIn(mode, PLACE.data + 0x80));
  for (let n = 0; n < 8; n++)
    d.gpr[n] = random.chance(4)
      ? random.pick([0n, 1n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn])
      : BigInt(random.u32());
  d.gpr[BX] = data;
  d.gpr[DI] = data + 0x40n;
  d.gpr[SI] = BigInt(random.below(16));
  d.gpr[BP] = d.rsp - 0x40n;
  for (;;) {
    const row = random.pick(LEGACY_ROWS);
    // Where strings begin, and how often.
    if (row.repeat !== 'none') {
      d.gpr[SI] = data + 0x20n;
      d.gpr[CX] = BigInt(random.below(12));
      if (random.chance(4)) d.flags |= 0x400;
    } else d.gpr[SI] = BigInt(random.below(16));
    // More than 16 of 16 bits have no defined result.
    if (/^SH[LR]D$/.test(row.semantics)) d.gpr[CX] = BigInt(random.below(16));
    if (/^(BT|BTS|BTR|BTC)$/.test(row.semantics))
      for (const n of [AX, CX, 2, 5, 6]) d.gpr[n] = BigInt(random.below(64));
    const bytes = instruction(random, d, row);
    if (!bytes) continue;
    d.code.push(...bytes);
    d.rows = [row.id];
    d.name = `instruction ${row.text}`;
    d.undefinedFlags = [...row.flags.undefined].reduce((sum, flag) => sum | (FLAG_BIT[flag] ?? 0), 0);
    return finish(d);
  }
}
