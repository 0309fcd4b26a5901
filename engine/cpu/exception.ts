import { defineFault, type Fault, type FaultDefinition, makeFault } from '../fault.js';

/** Exception vectors by AMD's names: APM volume 2, table 8-1. */
export const VECTOR = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  MC: 18,
  XF: 19,
  HV: 28,
  VC: 29,
  SX: 30,
} as const;

/**
 * An exception on its way to the guest. It is thrown, because it leaves generated code from any depth; it is no
 * Error, because making one costs twenty times as much.
 */
export interface GuestException {
  readonly kind: 'exception';
  readonly vector: number;
  /** Undefined for vectors that push none. */
  readonly errorCode: number | undefined;
  /** CR2 of #PF, and of #VC for a page that is not validated. */
  readonly address: bigint | undefined;
  /** The instruction is done: RIP is the next one (INT3, INTO, single step). */
  readonly trap: boolean;
  /** Bits of DR6 that a #DB sets. */
  readonly debug: number;
  /** Not architectural: why, where more is known than the error code says. */
  readonly fault?: Fault;
}

export function exception(
  vector: number,
  options: { errorCode?: number; address?: bigint; trap?: boolean; debug?: number; fault?: Fault } = {},
): GuestException {
  const { errorCode, address, trap = false, debug = 0, fault } = options;
  return { kind: 'exception', vector, errorCode, address, trap, debug, fault };
}

/**
 * Why the core gives up control in the middle: thrown like an exception. `exit` ends the run before the instruction,
 * as a #VMEXIT of fault type does; after `exit-after` and `halt` the instruction is done, RIP is the next one.
 */
export interface CpuStop {
  readonly kind: 'stop';
  readonly reason: 'halt' | 'fault' | 'breakpoint' | 'exit' | 'exit-after';
  readonly fault: Fault | undefined;
}

export const isGuestException = (thrown: unknown): thrown is GuestException =>
  typeof thrown === 'object' && thrown !== null && (thrown as GuestException).kind === 'exception';
export const isCpuStop = (thrown: unknown): thrown is CpuStop =>
  typeof thrown === 'object' && thrown !== null && (thrown as CpuStop).kind === 'stop';

type UnimplementedOperands = { instruction: string; bytes: string; rip: string };
export const unimplementedInstruction: FaultDefinition<UnimplementedOperands> = defineFault<UnimplementedOperands>({
  check: 'hw-instruction-missing',
  layer: 'hardware',
  command: 'instruction',
  code: { kind: 'exception', name: '#UD', value: VECTOR.UD },
  title: 'The emulated CPU does not have this instruction yet',
  message: ({ instruction, bytes, rip }) =>
    `The guest executed ${instruction} (${bytes}) at ${rip}, which the emulated CPU does not implement.`,
  why:
    'A real processor of this model executes the instruction. The emulator stops instead of skipping it, because the ' +
    'state after it would be wrong without anybody noticing.',
  hint: 'Withhold the feature that the instruction belongs to in the CPUID page, so that the guest does not use it.',
  reference: 'AMD64 Architecture Programmer’s Manual volumes 3 to 5',
  confirmed: true,
});

export function stopUnimplemented(operands: UnimplementedOperands): CpuStop {
  return { kind: 'stop', reason: 'fault', fault: makeFault(unimplementedInstruction, operands) };
}

type MissingOperands = { behaviour: string; rip: string };
export const missingBehaviour: FaultDefinition<MissingOperands> = defineFault<MissingOperands>({
  check: 'hw-behaviour-missing',
  layer: 'hardware',
  command: 'instruction',
  code: { kind: 'exception', name: '#UD', value: VECTOR.UD },
  title: 'The emulated CPU does not have this mechanism yet',
  message: ({ behaviour, rip }) => `At ${rip} the guest needs ${behaviour}, which the emulated CPU does not implement.`,
  why:
    'The instruction exists, but what it would do here is missing. The emulator stops instead of doing something ' +
    'else than a processor does, because the state after it would be wrong without anybody noticing.',
  hint: 'Change the guest so that it does without this mechanism.',
  reference: 'AMD64 Architecture Programmer’s Manual volume 2',
  confirmed: true,
});

/** Ends the run before an instruction that needs what is not there. */
export function stopMissing(behaviour: string, rip: string): CpuStop {
  return { kind: 'stop', reason: 'fault', fault: makeFault(missingBehaviour, { behaviour, rip }) };
}
