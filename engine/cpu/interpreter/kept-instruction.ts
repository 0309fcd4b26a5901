import { hex } from '../../address.js';
import { toHex } from '../../bytes.js';
import type { Instruction } from '../decoder/instruction.js';
import { exception, stopUnimplemented, VECTOR } from '../exception.js';

export type Undecodable = 'invalid' | 'tooLong' | 'unknown';

/** An instruction that TypeScript executes, or a reason why there is none. */
export interface KeptInstruction {
  readonly instruction: Instruction;
  readonly undecodable: Undecodable | undefined;
  readonly bytes: Uint8Array;
}

/** Executes it, or throws #UD, #GP or the Fault of what is missing. `rip`: of the instruction. */
export function executeKept(
  { instruction, undecodable, bytes }: KeptInstruction,
  execute: (instruction: Instruction) => boolean,
  rip: () => bigint,
): void {
  if (undecodable === 'invalid') throw exception(VECTOR.UD);
  if (undecodable === 'tooLong') throw exception(VECTOR.GP, { errorCode: 0 });
  if (undecodable === undefined && execute(instruction)) return;
  throw stopUnimplemented({
    instruction: instruction.encoding && !undecodable ? instruction.encoding.text : 'an instruction without name',
    bytes: toHex(bytes),
    rip: hex(rip()),
  });
}
