import { type CodeSize, type Instruction, OperandPlace } from '../decoder/instruction.js';

/** What decoding depends on beside the bytes. */
export interface CodeMode {
  readonly codeSize: CodeSize;
  readonly stackSize: CodeSize;
  /** XMM instructions are executed; where they are not, TypeScript raises #UD or #NM. */
  readonly vectors: boolean;
  /** MXCSR is as semantics of floating point have it: nearest, exceptions masked, denormals count, PE set already. */
  readonly floats: boolean;
}

/** The mode as a small number. */
export const modeNumber = ({ codeSize, stackSize, vectors, floats }: CodeMode): number =>
  (vectors ? 16 : 0) + (floats ? 32 : 0) + (codeSize >> 5) * 4 + (stackSize >> 5);

export const usesVectors = (i: Instruction): boolean => i.operands.some((o) => o.place === OperandPlace.vector);

/** RIP has the width of the code (or, for a branch, of its operand). */
export function wrap(rip: bigint, size: CodeSize): bigint {
  return BigInt.asUintN(size, rip);
}
