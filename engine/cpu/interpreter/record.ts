/** How decoded instructions lie in the arena: a header for each block, then one record for each instruction. */

export const BLOCK = {
  /** i32: instructions in the block. */
  count: 0,
  /** u32: times entered. */
  executions: 4,
  /** i64: RIP of the first instruction. */
  rip: 8,
  size: 16,
} as const;

export const RECORD = {
  /** u16: number of the handler. */
  handler: 0,
  /** u16: addresses of the registers that operands 0 to 2 name. */
  register: [2, 4, 6],
  /** u16: addresses of base and index register (or of ZERO), of the segment's state. */
  base: 8,
  index: 10,
  segment: 12,
  /** u8: shift count of the index. */
  scale: 14,
  /** u8: condition number. */
  condition: 15,
  /** i64 */
  displacement: 16,
  /** i64; RIP of a branch's target. */
  immediate: 24,
  /** i64: RIP of the next instruction. */
  next: 32,
  /** i32: block at the target, at the next instruction; 0 not known yet, 1 ask the jump cache each time. */
  targetLink: 40,
  nextLink: 44,
  /** u8: instructions of the block from this one on. */
  left: 48,
  /** u8: bytes. */
  length: 49,
  /** u8: 1 for a repeated string instruction, whose target is itself. */
  repeated: 50,
  /** i32: index of the decoded instruction kept for TypeScript. */
  instruction: 52,
  size: 56,
} as const;

/** Beside the bytes of a slow access: it is one of the stack, whatever segment the operand has. */
export const STACK_ACCESS = 0x100;

export const ASK_JUMP_CACHE = 1;

/** Handler numbers that are no forms. */
export enum Handler {
  /** Leaves the block: later code has changed. */
  resync = 0,
  /** Executed by TypeScript. */
  rare = 1,
  /** Goes on with the next block: the end of a block that no branch ends. */
  fallThrough = 2,
  firstForm = 3,
}
