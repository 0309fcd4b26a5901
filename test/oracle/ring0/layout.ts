/**
 * Addresses that the runner (runner.S), the cases and both machines share. All are physical; the first 64 KiB and the
 * arena are mapped one to one in every paging mode.
 */

/** The runner's code, handlers and data. */
export const RUNNER = 0x1000;
/** What a case may change: tables, stacks, code, data. */
export const ARENA = 0x1_0000;
export const ARENA_SIZE = 0x1_0000;
/** Initial contents of the arena, one for each kind of case. */
export const BASELINES = 0x10_0000;
/** The arena as it was when the case began. */
export const REFERENCE = 0x20_0000;
export const CASES = 0x30_0000;
export const RESULTS = 0xc0_0000;
export const RAM_SIZE = 0x180_0000;
export const RESULT_SIZE = 0x400;
/** Where the runner keeps its count: of cases, and of those begun. */
export const CONTROL = { total: 0x9000, index: 0x9004, running: 0x9008, next: 0x900c, done: 0x9010 } as const;
/** Port that ends QEMU (isa-debug-exit). */
export const EXIT_PORT = 0xf4;

/** Offsets in the arena. */
export const PLACE = {
  gdt: 0,
  ldt: 0x400,
  tss: 0x600,
  idt: 0x1000,
  /** Page tables: the root, then one page for each level, then those of the window. */
  root: 0x2000,
  tables: 0x3000,
  windowTables: 0x6000,
  /** Pages that are never mapped. */
  guard: 0x8000,
  stacks: 0xa000,
  code: 0xb000,
  code2: 0xc000,
  data: 0xd000,
  data2: 0xe000,
} as const;

/** Stack tops in the arena. */
export const STACK_TOP = {
  ring0: 0xa800,
  ring3: 0xd800,
  ist1: 0xac00,
  ist2: 0xae00,
  inner1: 0xaf00,
  inner2: 0xafc0,
} as const;

/** Fixed selectors: the runner and the handlers need them, no case changes them. */
export const SELECTOR = {
  code32: 0x08,
  data: 0x10,
  code64: 0x18,
  code16: 0x20,
  data16: 0x28,
  userCode32: 0x30,
  userData: 0x38,
  userCode64: 0x40,
  userCode16: 0x48,
  tss: 0x50,
  ldt: 0x60,
  code32Ring1: 0x70,
  dataRing1: 0x78,
  arenaCode16: 0x80,
  userData16: 0x88,
  /** From here on descriptors are the case's own. */
  zoo: 0x90,
} as const;
export const GDT_ENTRIES = 64;
export const LDT_ENTRIES = 16;

/** A case's fixed part; patches of the arena follow it. */
export const CASE = {
  size: 0,
  baseline: 4,
  kind: 8,
  patches: 0xc,
  cr0: 0x10,
  cr3: 0x18,
  cr4: 0x20,
  efer: 0x28,
  gdtr: 0x30,
  idtr: 0x40,
  ldtr: 0x50,
  tr: 0x54,
  ds: 0x58,
  es: 0x5c,
  fs: 0x60,
  gs: 0x64,
  debug: 0x68,
  dr6: 0x88,
  dr7: 0x90,
  fsBase: 0x98,
  gsBase: 0xa0,
  kernelGsBase: 0xa8,
  star: 0xb0,
  sfmask: 0xc8,
  sysenter: 0xd0,
  fcw: 0xe8,
  mxcsr: 0xec,
  far32: 0xf0,
  far16: 0xf8,
  stack32: 0x100,
  stack16: 0x108,
  /** r15 to r8, rdi, rsi, rbp, rbx, rdx, rcx, rax. */
  gpr: 0x110,
  /** rip, cs, rflags, rsp, ss as IRETQ takes them. */
  frame: 0x188,
  fixed: 0x1b0,
} as const;

export const RESULT = {
  id: 0,
  status: 4,
  mode: 8,
  vector: 0xc,
  /** rax to r15 in the order of their numbers. */
  gpr: 0x10,
  flags: 0x90,
  selectors: 0x98,
  cr0: 0xa8,
  cr2: 0xb0,
  cr3: 0xb8,
  cr4: 0xc0,
  efer: 0xc8,
  dr6: 0xd0,
  dr7: 0xd8,
  fsBase: 0xe0,
  gsBase: 0xe8,
  kernelGsBase: 0xf0,
  fcw: 0xf8,
  fsw: 0xfa,
  changes: 0x120,
  hash: 0x124,
  list: 0x130,
  listEnd: 0x3f0,
} as const;

export const STATUS = { none: 0, handler: 1, shutdown: 2, hang: 3, missing: 4, crash: 5 } as const;
export const KIND = { real: 0, legacy: 1, long: 2 } as const;

/** Handlers: sixteen bytes for each vector. */
export const STUB_SIZE = 16;
