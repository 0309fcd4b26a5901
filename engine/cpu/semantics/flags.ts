/** RFLAGS by bit, and the lazy form in which generated code leaves the status flags. */

export const RFLAGS = {
  CF: 0x1,
  PF: 0x4,
  AF: 0x10,
  ZF: 0x40,
  SF: 0x80,
  TF: 0x100,
  IF: 0x200,
  DF: 0x400,
  OF: 0x800,
  IOPL: 0x3000,
  NT: 0x4000,
  RF: 0x1_0000,
  VM: 0x2_0000,
  AC: 0x4_0000,
  VIF: 0x8_0000,
  VIP: 0x10_0000,
  ID: 0x20_0000,
} as const;

export const STATUS_FLAGS = RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.OF;

/**
 * How FLAG_A and FLAG_B stand for the status flags. Both are sign-extended from the operand's width, which is
 * kept in bits 5:4 of FLAG_TYPE as log2 of the bytes.
 */
export enum FlagType {
  /** A holds the flags themselves. */
  raw = 0,
  /** A: first operand, B: sum. */
  add = 1,
  /** A: minuend, B: subtrahend; a logical result is A minus 0. */
  sub = 2,
  /** A: result, B: CF, AF and OF in their places. */
  result = 3,
}
