import type { Encoding, OperandKind } from '../encodings/encoding.js';
import { candidates, hasModRm, type OpcodeMap } from '../encodings/table.js';
import { type CodeSize, type Instruction, type Operand, OperandPlace, Segment } from './instruction.js';

/**
 * What decoding came to: `incomplete` wants more bytes than there are, `invalid` is #UD (no processor of AMD has such
 * an instruction), `tooLong` (more than 15 bytes) is #GP(0), `unknown` is a VEX, EVEX or XOP encoding.
 */
export type DecodeStatus = 'ok' | 'incomplete' | 'invalid' | 'tooLong' | 'unknown';

const MAX_LENGTH = 15;

let bytes: Uint8Array = new Uint8Array(0);
let position = 0;
/** First offset that must not be read. */
let end = 0;

class OutOfBytes {}
const outOfBytes = new OutOfBytes();

function next8(): number {
  if (position >= end) throw outOfBytes;
  return bytes[position++] ?? 0;
}
const next8s = (): number => (next8() << 24) >> 24;
const next16 = (): number => next8() | (next8() << 8);
const next16s = (): number => (next16() << 16) >> 16;
const next32 = (): number => next16() | (next16() << 16);

interface Prefixes {
  operand: boolean;
  address: boolean;
  repeat: number;
  lock: boolean;
  /** -1: none. */
  segment: number;
  rex: number;
}
let opcodeByte = 0;
const prefixes: Prefixes = { operand: false, address: false, repeat: 0, lock: false, segment: -1, rex: 0 };

/** Reads the prefixes and returns the first byte that is none. REX counts only directly before the opcode. */
function readPrefixes(codeSize: CodeSize): number {
  const p = prefixes;
  p.operand = p.address = p.lock = false;
  p.repeat = p.rex = 0;
  p.segment = -1;
  for (;;) {
    const byte = next8();
    switch (byte) {
      case 0x66:
        p.operand = true;
        break;
      case 0x67:
        p.address = true;
        break;
      case 0xf0:
        p.lock = true;
        break;
      case 0xf2:
      case 0xf3:
        p.repeat = byte;
        break;
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
        // Ignored in 64-bit mode, where these segments are flat.
        if (codeSize !== 64) p.segment = (byte >> 3) & 3;
        break;
      case 0x64:
        p.segment = Segment.FS;
        break;
      case 0x65:
        p.segment = Segment.GS;
        break;
      default:
        if (codeSize === 64 && (byte & 0xf0) === 0x40) {
          p.rex = byte;
          continue;
        }
        return byte;
    }
    p.rex = 0;
  }
}

function readOpcode(first: number): { map: OpcodeMap; opcode: number } {
  if (first !== 0x0f) return { map: 0, opcode: first };
  const second = next8();
  if (second === 0x38) return { map: 2, opcode: next8() };
  if (second === 0x3a) return { map: 3, opcode: next8() };
  return { map: 1, opcode: second };
}

/** VEX, EVEX and XOP: encodings that these bytes start in 64-bit mode, and in others where ModRM.mod would be 3. */
function isVectorExtension(map: OpcodeMap, opcode: number, codeSize: CodeSize): boolean {
  if (map !== 0) return false;
  if (opcode === 0x8f) return position < end && ((bytes[position] ?? 0) & 0x1f) >= 8;
  if (opcode !== 0xc4 && opcode !== 0xc5 && opcode !== 0x62) return false;
  return codeSize === 64 || (position < end && (bytes[position] ?? 0) >= 0xc0);
}

function selectRow(rows: readonly Encoding[], codeSize: CodeSize, modrm: number): Encoding | undefined {
  const { repeat, operand, rex } = prefixes;
  const prefix = repeat !== 0 ? repeat : operand ? 0x66 : 0;
  const register = modrm >= 0xc0;
  for (const row of rows) {
    if (row.modes !== 'all' && (row.modes === 'long') !== (codeSize === 64)) continue;
    if (row.prefix !== undefined && row.prefix !== (row.prefix === 'NFx' && repeat === 0 ? 'NFx' : prefix)) continue;
    if (row.extension !== undefined && row.extension !== ((modrm >> 3) & 7)) continue;
    if (row.mod !== undefined && (row.mod === 'register') !== register) continue;
    if (row.rm !== undefined && row.rm !== (modrm & 7)) continue;
    // 90 is NOP, not XCHG eAX,eAX, unless REX.B names another register.
    if (row.map === 0 && opcodeByte === 0x90 && row.registerInOpcode !== ((rex & 1) !== 0)) continue;
    return row;
  }
  return undefined;
}

function operandSize(row: Encoding, codeSize: CodeSize): number {
  const { size } = row;
  if (size === 'byte') return 1;
  if (size === 'native') return codeSize === 64 ? 8 : 4;
  const operand = prefixes.operand && row.prefix !== 0x66;
  if (codeSize !== 64) return (codeSize === 16) !== operand ? 2 : 4;
  if (size === 'always64') return 8;
  if ((prefixes.rex & 8) !== 0) return size === 'atMost32' ? 4 : 8;
  if (operand) return 2;
  return size === 'default64' ? 8 : 4;
}

function widthOf(letter: string, size: number): number {
  switch (letter) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'd':
      return 4;
    case 'q':
      return 8;
    case 'o':
      return 16;
    case 'z':
      return Math.min(size, 4);
    case 'y':
      return size === 8 ? 8 : 4;
    default:
      return size;
  }
}

const BASES_16 = [3, 3, 5, 5, 6, 7, 5, 3];
const INDEXES_16 = [6, 7, 6, 7, -1, -1, -1, -1];

function readMemory16(out: Instruction): void {
  const mod = out.modrm >> 6;
  const rm = out.modrm & 7;
  if (mod === 0 && rm === 6) {
    out.displacement = next16();
    return;
  }
  out.base = BASES_16[rm] ?? -1;
  out.index = INDEXES_16[rm] ?? -1;
  if (out.base === 5) out.segment = Segment.SS;
  if (mod === 1) out.displacement = next8s();
  else if (mod === 2) out.displacement = next16s();
}

function readMemory(out: Instruction): void {
  const { rex } = prefixes;
  const mod = out.modrm >> 6;
  const rm = out.modrm & 7;
  let low = rm;
  if (rm === 4) {
    const sib = next8();
    low = sib & 7;
    const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
    if (index !== 4) {
      out.index = index;
      out.scale = sib >> 6;
    }
  }
  if (low === 5 && mod === 0) {
    out.displacement = next32();
    out.ripRelative = rm === 5 && out.codeSize === 64;
  } else {
    out.base = low | ((rex & 1) << 3);
    if (out.base === 4 || out.base === 5) out.segment = Segment.SS;
    if (mod === 1) out.displacement = next8s();
    else if (mod === 2) out.displacement = next32();
  }
}

function setRegister(operand: Operand, number: number, size: number): void {
  operand.place = OperandPlace.register;
  operand.size = size;
  operand.highByte = size === 1 && prefixes.rex === 0 && number >= 4;
  operand.register = operand.highByte ? number - 4 : number;
}

function setPlace(operand: Operand, place: OperandPlace, number: number, size: number): void {
  operand.place = place;
  operand.register = number;
  operand.size = size;
  operand.highByte = false;
}

function readImmediate(out: Instruction, operand: Operand, kind: OperandKind): void {
  setPlace(operand, OperandPlace.immediate, 0, kind === 'Ib' || kind === 'Ic' || kind === '1' ? 1 : out.operandSize);
  let value = 0;
  switch (kind) {
    case '1':
      value = 1;
      break;
    case 'Ib':
      value = next8();
      break;
    case 'Ic':
      value = next8() & (out.operands[0].size === 8 ? 63 : 31);
      break;
    case 'Ibs':
    case 'Jb':
      value = next8s();
      break;
    case 'Iw':
      value = next16();
      break;
    default:
      value = out.operandSize === 2 ? next16s() : next32();
  }
  // ENTER has two immediates.
  if (operand === out.operands[1] && out.operands[0].place === OperandPlace.immediate) {
    out.immediate2 = value;
    return;
  }
  out.immediate = value;
  out.immediateHigh = kind === 'Iv' && out.operandSize === 8 ? next32() : value >> 31;
}

const SEGMENT_NAMES: Readonly<Record<string, Segment>> = { ES: 0, CS: 1, SS: 2, DS: 3, FS: 4, GS: 5 };
const FIXED: Readonly<Record<string, readonly [register: number, size: number]>> = {
  AL: [0, 1],
  AX: [0, 2],
  CL: [1, 1],
  DX: [2, 2],
};

/** False for a register number that does not exist. */
function readOperand(out: Instruction, operand: Operand, kind: OperandKind): boolean {
  const { rex } = prefixes;
  const size = out.operandSize;
  const reg = ((out.modrm >> 3) & 7) | ((rex & 4) << 1);
  const rm = (out.modrm & 7) | ((rex & 1) << 3);
  const isRegister = out.modrm >= 0xc0;
  const width = widthOf(kind[1] ?? '', size);
  const fixed = FIXED[kind];
  const segment = SEGMENT_NAMES[kind];
  if (fixed) {
    setPlace(operand, OperandPlace.register, fixed[0], fixed[1]);
    return true;
  }
  if (segment !== undefined) {
    setPlace(operand, OperandPlace.segment, segment, 2);
    return true;
  }
  switch (kind[0]) {
    case 'E':
      if (isRegister) setRegister(operand, rm, width);
      else setPlace(operand, OperandPlace.memory, 0, kind.length > 2 ? widthOf(kind[3] ?? '', size) : width);
      return true;
    case 'R':
      setRegister(operand, rm, width);
      return true;
    case 'G':
      setRegister(operand, reg, width);
      return true;
    case 'Z':
      setRegister(operand, (out.opcode & 7) | ((rex & 1) << 3), width);
      return true;
    case 'r':
    case 'e':
      setPlace(operand, OperandPlace.register, 0, kind === 'eAX' ? Math.min(size, 4) : size);
      return true;
    case 'M':
      setPlace(operand, OperandPlace.memory, 0, kind === 'M' || kind === 'Ms' ? 0 : kind === 'Mp' ? size : width);
      return true;
    case 'O':
      setPlace(operand, OperandPlace.memory, 0, width);
      out.displacement = out.addressSize === 16 ? next16() : next32();
      out.displacementHigh = out.addressSize === 64 ? next32() : 0;
      return true;
    case 'V':
      setPlace(operand, OperandPlace.vector, reg, width);
      return true;
    case 'W':
    case 'U':
      setPlace(operand, isRegister ? OperandPlace.vector : OperandPlace.memory, isRegister ? rm : 0, width);
      return true;
    // MMX registers have no bit from REX.
    case 'P':
      setPlace(operand, OperandPlace.mmx, reg & 7, 8);
      return true;
    case 'Q':
    case 'N':
      if (isRegister) setPlace(operand, OperandPlace.mmx, rm & 7, 8);
      else setPlace(operand, OperandPlace.memory, 0, width);
      return true;
    case 'S':
      setPlace(operand, OperandPlace.segment, reg & 7, 2);
      return (reg & 7) < 6 && !(out.opcode === 0x8e && (reg & 7) === Segment.CS);
    case 'C': {
      // LOCK in front of MOV CR0 names CR8 outside of 64-bit mode.
      const number = prefixes.lock && reg === 0 ? 8 : reg;
      setPlace(operand, OperandPlace.control, number, size);
      return number === 0 || (number >= 2 && number <= 4) || number === 8;
    }
    case 'D':
      setPlace(operand, OperandPlace.debug, reg, size);
      return reg < 8;
    case 'A':
      setPlace(operand, OperandPlace.immediate, 0, size);
      out.immediate = size === 2 ? next16() : next32();
      out.immediateHigh = 0;
      out.immediate2 = next16();
      return true;
    default:
      readImmediate(out, operand, kind);
      return true;
  }
}

function lockIsValid(row: Encoding, out: Instruction): boolean {
  // LOCK MOV CR0 is MOV CR8.
  if (row.semantics === 'MOV_FROM_CR' || row.semantics === 'MOV_TO_CR') return (out.modrm & 0x38) === 0;
  return row.lockable && out.operands.some((o) => o.place === OperandPlace.memory);
}

function decodeInto(out: Instruction, codeSize: CodeSize): DecodeStatus {
  const first = readPrefixes(codeSize);
  const { map, opcode } = readOpcode(first);
  opcodeByte = opcode;
  if (isVectorExtension(map, opcode, codeSize)) return 'unknown';
  const rows = candidates(map, opcode);
  const head = rows.find((row) => row.modes === 'all' || (row.modes === 'long') === (codeSize === 64));
  if (!head) return 'invalid';

  out.codeSize = codeSize;
  out.opcode = opcode;
  out.rex = prefixes.rex;
  out.lock = prefixes.lock;
  out.modrm = hasModRm(head) ? next8() : 0;
  const row = selectRow(rows, codeSize, out.modrm);
  if (!row) return 'invalid';

  out.encoding = row;
  out.operandSize = operandSize(row, codeSize);
  out.addressSize = prefixes.address ? (codeSize === 32 ? 16 : 32) : codeSize;
  out.repeat = row.prefix === prefixes.repeat ? 0 : prefixes.repeat;
  out.base = out.index = -1;
  out.scale = out.displacement = out.immediate = out.immediateHigh = out.immediate2 = 0;
  out.ripRelative = false;
  out.segment = Segment.DS;
  if (hasModRm(head) && out.modrm < 0xc0 && !/^MOV_(FROM|TO)_[CD]R$/.test(row.semantics)) {
    if (out.addressSize === 16) readMemory16(out);
    else readMemory(out);
  }
  out.displacementHigh = out.displacement >> 31;
  if (prefixes.segment >= 0) out.segment = prefixes.segment;
  for (let n = 0; n < 3; n++) {
    const operand = out.operands[n as 0 | 1 | 2];
    const kind = row.operands[n];
    if (kind === undefined) operand.place = OperandPlace.none;
    else if (!readOperand(out, operand, kind)) return 'invalid';
  }
  if (prefixes.lock && !lockIsValid(row, out)) return 'invalid';
  return 'ok';
}

/**
 * Decodes the instruction at `offset`; bytes from `limit` on are not there. With any status but `ok` only
 * `length` of the result has a meaning: the bytes that were looked at.
 */
export function decode(
  code: Uint8Array,
  offset: number,
  limit: number,
  codeSize: CodeSize,
  out: Instruction,
): DecodeStatus {
  bytes = code;
  position = offset;
  end = Math.min(limit, offset + MAX_LENGTH);
  try {
    const status = decodeInto(out, codeSize);
    out.length = position - offset;
    return status;
  } catch (error) {
    if (error !== outOfBytes) throw error;
    out.length = position - offset;
    return position - offset >= MAX_LENGTH ? 'tooLong' : 'incomplete';
  }
}
