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
/** u32: floating-point arithmetic has run since MXCSR was loaded, so that its sticky flags are not known. */
export const FLOAT_USED = 0x504;
/** Where an access that crosses a page is put together; 32 bytes. */
export const SCRATCH = 0x600;

/** Contexts: supervisor, user, supervisor with RFLAGS.AC set (SMAP off). */
export const CONTEXTS = 0x1_0000;
export const CONTEXT_SIZE = 0x2_0000;
export const CONTEXT_COUNT = 3;

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
} as const;

/** Jump cache of a context: 4096 entries of 16 bytes: i64 RIP, i32 block. */
export const JUMP_CACHE = 0x1_0000;
export const JUMP_CACHE_ENTRIES = 4096;

/** Decoded blocks. */
export const ARENA = 0x8_0000;

export const PAGE = 4096;
