import type { Instruction } from './decoder/instruction.js';
import type { GuestException } from './exception.js';
import type { CodeMode } from './interpreter/code-mode.js';

export type Access = 'read' | 'write' | 'execute';

/** Answer of a translation: which page of linear memory, and whether writes need not ask again. */
export interface Translation {
  /** Number of the page in linear memory (offset / 4096). */
  readonly page: number;
  readonly writable: boolean;
}

/** What surrounds the core: address translation, exceptions, and the instructions that are written in TypeScript. */
export interface CpuEnvironment {
  readonly mode: CodeMode;
  /**
   * 0 supervisor, 1 user, 2 supervisor that may touch user pages (RFLAGS.AC), 3 user with alignment checks: selects
   * TLB and jump cache.
   */
  readonly context: number;
  /** Linear address to page; throws a GuestException. Called once for each page of an access. */
  translate(linear: bigint, access: Access): Translation;
  /** Executes an instruction; false if it has none. RIP is already that of the next instruction. */
  execute(instruction: Instruction): boolean;
  /** Delivers an exception to the guest; false ends the run. RIP is where the exception belongs. */
  deliver(exception: GuestException): boolean;
}
