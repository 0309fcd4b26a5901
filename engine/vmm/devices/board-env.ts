/** What the devices of the board have around them. */
export interface BoardEnv {
  /** Nanoseconds of the machine's clock. */
  now(): number;
  /** An input line of the interrupt controllers. */
  setIrq(gsi: number, level: boolean): void;
  /** DMA: guest memory as the VMM has it mapped. Undefined: some of it is no memory. */
  readMemory(gpa: number, length: number): Uint8Array | undefined;
  /** DMA: false if some of it is no memory. */
  writeMemory(gpa: number, data: Uint8Array): boolean;
}

/** Nothing around: time stands still, no interrupts, no memory. */
export const NO_ENV: BoardEnv = {
  now: () => 0,
  setIrq: () => undefined,
  readMemory: () => undefined,
  writeMemory: () => false,
};
