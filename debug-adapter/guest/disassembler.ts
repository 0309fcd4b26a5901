import type { Decoder, Formatter, Instruction } from 'iced-x86';
import type { CodeBits } from './vcpu-image.js';

type Iced = typeof import('iced-x86');

/** One decoded instruction, or the first byte of what is none. */
export interface DecodedInstruction {
  readonly length: number;
  /** In Intel's syntax; `(bad)` for what is no instruction. */
  readonly text: string;
  readonly valid: boolean;
  readonly flow: InstructionFlow;
}

/**
 * What an instruction does to stepping: a `call` (also INT n, SYSCALL, VMGEXIT) comes back to the next instruction, a
 * `return` leaves the function, a `repeat` stays at its place until it is done.
 */
export type InstructionFlow = 'next' | 'call' | 'return' | 'repeat';

export const MAX_INSTRUCTION = 15;

interface Loaded {
  readonly iced: Iced;
  readonly formatter: Formatter;
  readonly instruction: Instruction;
}

let loaded: Loaded | undefined;

/** Loads the disassembler when it is first needed: a debug session without a guest never needs it. */
function load(): Loaded {
  if (loaded) return loaded;
  const iced = require('iced-x86') as Iced;
  const formatter = new iced.Formatter(iced.FormatterSyntax.Intel);
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.uppercaseHex = false;
  formatter.spaceAfterOperandSeparator = true;
  formatter.branchLeadingZeros = false;
  loaded = { iced, formatter, instruction: new iced.Instruction() };
  return loaded;
}

/**
 * Decodes instructions one after the other, as a processor of AMD does; `rip` is the offset in the code segment of
 * the first byte.
 */
export function* decodeInstructions(bytes: Uint8Array, bits: CodeBits, rip: bigint): Generator<DecodedInstruction> {
  const { iced, formatter, instruction } = load();
  const decoder: Decoder = new iced.Decoder(bits, bytes, iced.DecoderOptions.AMD);
  decoder.ip = rip;
  try {
    while (decoder.canDecode) {
      const at = decoder.position;
      decoder.decodeOut(instruction);
      if (instruction.isInvalid) {
        // As the byte is, so that what follows is seen too.
        decoder.position = at + 1;
        decoder.ip = rip + BigInt(at + 1);
        yield { length: 1, text: '(bad)', valid: false, flow: 'next' };
        continue;
      }
      const { length } = instruction;
      yield { length, text: formatter.format(instruction), valid: true, flow: flowOf(iced, instruction) };
    }
  } finally {
    decoder.free();
  }
}

export function decodeOne(bytes: Uint8Array, bits: CodeBits, rip: bigint): DecodedInstruction | undefined {
  for (const instruction of decodeInstructions(bytes, bits, rip)) return instruction;
  return undefined;
}

function flowOf({ FlowControl }: Iced, instruction: Instruction): InstructionFlow {
  switch (instruction.flowControl) {
    case FlowControl.Call:
    case FlowControl.IndirectCall:
    case FlowControl.Interrupt:
      return 'call';
    case FlowControl.Return:
      return 'return';
    default:
      return (instruction.hasRepPrefix || instruction.hasRepnePrefix) && instruction.isStringInstruction
        ? 'repeat'
        : 'next';
  }
}
