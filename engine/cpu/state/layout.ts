/**
 * The linear memory: one vCPU's registers, its software TLBs and jump caches, decoded blocks, guest pages. All
 * numbers are byte offsets; everything is little-endian. Registers lie below 64 KiB so that a record can name one
 * in 16 bits.
 */

/** RAX RCX RDX RBX RSP RBP RSI RDI R8 … R15, 8 bytes each. */
export const GPR = 0x100;
/** A register that is always zero: base and index of addresses that have none. */
export const ZERO = 0x180;
/** Offset in the code segment of the next instruction; valid outside of generated code. */
export const RIP = 0x190;
/** Lazy status flags: two operands and how to read them (see FlagType). */
export const FLAG_A = 0x198;
export const FLAG_B = 0x1a0;
export const FLAG_TYPE = 0x1a8;
/** RFLAGS without the six status flags. */
export const SYSTEM_FLAGS = 0x1ac;
/** Instructions left in this slice; a block subtracts all of its own when it is entered. */
export const LEFT = 0x1b0;
/** Address of the current context: TLB and jump cache for one privilege. */
export const CONTEXT = 0x1b4;
/** Source of a value that generated code passes beside the stack: high half of a product, remainder. */
export const SECOND_RESULT = 0x1b8;

/** ES CS SS DS FS GS LDTR TR, SEGMENT_SIZE bytes each. */
export const SEGMENT_TABLE = 0x1c0;
export const SEGMENT_SIZE = 32;
export const SEGMENT = {
  /** u64 */
  base: 0,
  /** u32: first and last offset that may be accessed; outside of 64-bit mode only. */
  first: 8,
  last: 12,
  /** u16 */
  selector: 16,
  /** u16 in the format of the VMCB: 3:0 type, 4 S, 6:5 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G. */
  attributes: 18,
  /** u32 in bytes */
  limit: 20,
  /** u8: may be read, may be written, as data. */
  readable: 24,
  writable: 25,
} as const;
export const LDTR = 6;
export const TR = 7;

/** XMM0 … XMM15, 16 bytes each. */
export const XMM = 0x400;
export const MXCSR = 0x500;
/** Where an access that crosses a page is put together; 32 bytes. */
export const SCRATCH = 0x600;
/** Header of a block that is longer than any slice: entering it ends the run at its RIP. */
export const EXIT_BLOCK = 0x620;
/** u32: most elements of a repeated string instruction that count as one instruction; 1 where each may trap. */
export const STRING_LIMIT = 0x630;

/**
 * The x87 unit: R0 … R7, 16 bytes each, 80 bits used: significand, then sign and exponent. MMX registers are the low
 * 64 bits of R0 … R7. ST(n) is R((TOP + n) & 7).
 */
export const X87 = 0x680;
export const X87_CONTROL = 0x700;
/** u16, TOP and all. */
export const X87_STATUS = 0x702;
/** u8: bit n is set where Rn is not empty. */
export const X87_TAG = 0x704;
/** u16: low three bits of the first opcode byte, then ModRM. */
export const X87_OPCODE = 0x706;
/** u64 offsets and u16 selectors of the last instruction that was no control instruction, and of its operand. */
export const X87_IP = 0x708;
export const X87_DP = 0x710;
export const X87_CS = 0x718;
export const X87_DS = 0x71a;

/**
 * Contexts: supervisor, user, supervisor with RFLAGS.AC set (SMAP off), user with alignment checks. The TLB of the
 * last has no data pages, as every access must be looked at.
 */
export const CONTEXTS = 0x1_0000;
export const CONTEXT_SIZE = 0x2_0000;
export const CONTEXT_COUNT = 4;
export const ALIGNED_CONTEXT = 3;

/** Software TLB of a context: 1024 entries by page number, 32 bytes each. */
export const TLB_ENTRIES = 1024;
export const TLB_ENTRY_SIZE = 32;
export const TLB = {
  /** i64: linear page address that may be read, written; -1 for none. */
  read: 0,
  write: 8,
  /** i32: what to add to the low 32 bits of a linear address to get a linear-memory offset. */
  delta: 16,
  /** i32: number of the guest page in linear memory. */
  page: 20,
  /** i64: linear page address from which code may be fetched; generated code does not look at it. */
  code: 24,
} as const;

/** Jump cache of a context: 4096 entries of 16 bytes: i64 RIP, i32 block. */
export const JUMP_CACHE = 0x1_0000;
export const JUMP_CACHE_ENTRIES = 4096;

/** Decoded blocks. */
export const ARENA = 0x9_0000;

export const PAGE = 4096;
