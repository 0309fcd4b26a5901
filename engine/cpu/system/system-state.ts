/** Control registers, descriptor tables and MSRs of one vCPU: what generated code never touches. */

export interface DescriptorTable {
  base: bigint;
  /** Last byte offset. */
  limit: number;
}

export interface SystemState {
  cr0: number;
  cr2: bigint;
  cr3: bigint;
  cr4: number;
  /** Task priority, 0 to 15. */
  cr8: number;
  efer: number;
  cpl: number;
  readonly gdtr: DescriptorTable;
  readonly idtr: DescriptorTable;
  readonly debug: bigint[];
  /** All MSRs that simply keep their value, by number. */
  readonly msrs: Map<number, bigint>;
  /** Components of the extended state that the guest has enabled. */
  xcr0: number;
  /** What WRMSR to the time-stamp counter has added to it. */
  tscOffset: bigint;
  /** The guest's counter is the processor's times this, a fixed-point number with 32 fraction bits. */
  tscScale: bigint;
  /** No interrupt while the count of instructions is this: after STI and loads of SS. */
  shadowAt: number;
}

export const CR0 = {
  PE: 1,
  MP: 2,
  EM: 4,
  TS: 8,
  ET: 0x10,
  NE: 0x20,
  WP: 0x1_0000,
  AM: 0x4_0000,
  PG: 0x8000_0000,
} as const;
export const CR4 = {
  VME: 1,
  PVI: 2,
  TSD: 4,
  DE: 8,
  PSE: 0x10,
  PAE: 0x20,
  MCE: 0x40,
  PGE: 0x80,
  PCE: 0x100,
  OSFXSR: 0x200,
  OSXMMEXCPT: 0x400,
  UMIP: 0x800,
  FSGSBASE: 0x1_0000,
  PCIDE: 0x2_0000,
  OSXSAVE: 0x4_0000,
  SMEP: 0x10_0000,
  SMAP: 0x20_0000,
} as const;
export const EFER = { SCE: 1, LME: 0x100, LMA: 0x400, NXE: 0x800, SVME: 0x1000 } as const;
export const MSR = {
  TSC: 0x10,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  PAT: 0x277,
  EFER: 0xc000_0080,
  STAR: 0xc000_0081,
  LSTAR: 0xc000_0082,
  CSTAR: 0xc000_0083,
  SFMASK: 0xc000_0084,
  FS_BASE: 0xc000_0100,
  GS_BASE: 0xc000_0101,
  KERNEL_GS_BASE: 0xc000_0102,
  TSC_AUX: 0xc000_0103,
} as const;

/** As after RESET: APM volume 2, table 14-1. */
export function createSystemState(): SystemState {
  return {
    cr0: CR0.ET,
    cr2: 0n,
    cr3: 0n,
    cr4: 0,
    cr8: 0,
    efer: 0,
    cpl: 0,
    gdtr: { base: 0n, limit: 0xffff },
    idtr: { base: 0n, limit: 0xffff },
    debug: [0n, 0n, 0n, 0n, 0n, 0n, 0xffff_0ff0n, 0x400n],
    msrs: new Map<number, bigint>([[MSR.PAT, 0x0007_0406_0007_0406n]]),
    xcr0: 1,
    tscOffset: 0n,
    tscScale: 1n << 32n,
    shadowAt: -1,
  };
}

export const has = (word: number, bit: number): boolean => (word & bit) !== 0;
export const isProtected = (s: SystemState): boolean => has(s.cr0, CR0.PE);
export const isLongMode = (s: SystemState): boolean => has(s.efer, EFER.LMA);
