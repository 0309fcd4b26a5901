import type { Encoding } from '../encodings/encoding.js';

/** Width of code: what CS says outside of 64-bit mode, and 64 in it. */
export type CodeSize = 16 | 32 | 64;

export enum OperandPlace {
  none = 0,
  register = 1,
  memory = 2,
  immediate = 3,
  vector = 4,
  segment = 5,
  control = 6,
  debug = 7,
  mmx = 8,
}

export interface Operand {
  place: OperandPlace;
  /** Width in bytes. */
  size: number;
  /** Register number; for a byte register with `highByte` the number of the register whose bits 15:8 it is. */
  register: number;
  highByte: boolean;
}

/** Segment registers in the order of their numbers in instructions. */
export enum Segment {
  ES = 0,
  CS = 1,
  SS = 2,
  DS = 3,
  FS = 4,
  GS = 5,
}

/** One decoded instruction. The decoder fills the same object again and again; copy what must last. */
export interface Instruction {
  encoding: Encoding | undefined;
  /** Bytes. */
  length: number;
  codeSize: CodeSize;
  /** Bytes: 1, 2, 4 or 8. */
  operandSize: number;
  /** Bits. */
  addressSize: CodeSize;
  /** Last opcode byte; its low four bits are the condition of Jcc, SETcc, CMOVcc. */
  opcode: number;
  modrm: number;
  rex: number;
  lock: boolean;
  /** 0, 0xF2 or 0xF3; 0 where the prefix selected the row. */
  repeat: number;
  /** Segment of the memory operand, by prefix or default. */
  segment: Segment;
  readonly operands: readonly [Operand, Operand, Operand];
  /** Register numbers of the memory operand; -1 for none. */
  base: number;
  index: number;
  /** Shift count, 0 to 3. */
  scale: number;
  /** Low and high half of the displacement, sign-extended. */
  displacement: number;
  displacementHigh: number;
  /** The displacement counts from the end of the instruction. */
  ripRelative: boolean;
  immediate: number;
  immediateHigh: number;
  /** Selector of a far pointer; nesting level of ENTER. */
  immediate2: number;
}

export function createInstruction(): Instruction {
  const operand = (): Operand => ({ place: OperandPlace.none, size: 0, register: 0, highByte: false });
  return {
    encoding: undefined,
    length: 0,
    codeSize: 64,
    operandSize: 0,
    addressSize: 64,
    opcode: 0,
    modrm: 0,
    rex: 0,
    lock: false,
    repeat: 0,
    segment: Segment.DS,
    operands: [operand(), operand(), operand()],
    base: -1,
    index: -1,
    scale: 0,
    displacement: 0,
    displacementHigh: 0,
    ripRelative: false,
    immediate: 0,
    immediateHigh: 0,
    immediate2: 0,
  };
}

export function copyInstruction(from: Instruction): Instruction {
  const [a, b, c] = from.operands;
  return { ...from, operands: [{ ...a }, { ...b }, { ...c }] };
}
