import type { Fault, FaultCode, FaultDefinition, Operands } from '../fault.js';
import { makeFault } from '../fault.js';
import type { Machine } from '../machine.js';

/**
 * Values that the RMP instructions leave in EAX. AMD64 APM vol. 3, RMPUPDATE, PSMASH, PVALIDATE, RMPADJUST;
 * Linux arch/x86/include/asm/sev.h.
 */
export const INSTRUCTION_CODE = {
  SUCCESS: 0,
  FAIL_INPUT: 1,
  FAIL_PERMISSION: 2,
  FAIL_INUSE: 3,
  FAIL_OVERLAP: 4,
  FAIL_SIZEMISMATCH: 6,
} as const;

export type InstructionCodeName = keyof typeof INSTRUCTION_CODE;

/** EAX, and why it is not SUCCESS. */
export interface InstructionResult {
  /** A value of INSTRUCTION_CODE. */
  readonly code: number;
  readonly fault?: Fault;
}

/** The part of the machine that host RMP instructions work on. */
export type RmpMachine = Pick<Machine, 'rmp' | 'processor' | 'stack'>;

export const INSTRUCTION_SUCCESS: InstructionResult = { code: INSTRUCTION_CODE.SUCCESS };

/** A FaultCode for an RMP instruction that returns this code. */
export function instruction(name: InstructionCodeName): FaultCode {
  return { kind: 'instruction', name, value: INSTRUCTION_CODE[name] };
}

export function instructionCodeName(value: number): InstructionCodeName | undefined {
  return (Object.keys(INSTRUCTION_CODE) as InstructionCodeName[]).find((name) => INSTRUCTION_CODE[name] === value);
}

/** The result of a failed check; EAX is the code of the definition. */
export function failInstruction<O extends Operands>(definition: FaultDefinition<O>, operands: O): InstructionResult {
  return {
    code: definition.code.kind === 'instruction' ? definition.code.value : 0,
    fault: makeFault(definition, operands),
  };
}

/** For the `leave` event of an instruction. */
export function describeInstruction(result: InstructionResult): { result: string; fault?: Fault } {
  return { result: instructionCodeName(result.code) ?? `code ${result.code}`, fault: result.fault };
}
