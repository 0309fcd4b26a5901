import type { Instruction } from '../../engine/cpu/decoder/instruction.js';
import type { IcedDecoder } from './iced.js';

/** Sizes that the text of an instruction does not show: width of stack operands, counter of LOOP, LGDT's base. */

const COUNTERS = { 16: 'CX', 32: 'ECX', 64: 'RCX' } as const;
const LETTERS: Readonly<Record<number, string>> = { 2: 'w', 4: 'd', 8: 'q' };

/** End of iced's name of the form. */
function formEnd(i: Instruction): string | undefined {
  const mnemonic = i.encoding?.mnemonic ?? '';
  if (mnemonic.startsWith('LOOP')) return `_${COUNTERS[i.addressSize]}`;
  if (mnemonic === 'LEAVE') return LETTERS[i.operandSize];
  if (mnemonic === 'LGDT' || mnemonic === 'LIDT')
    return i.operandSize === 2 ? '_16' : i.operandSize === 8 ? '64' : '32';
  return undefined;
}

/** What the stack pointer changes by; undefined where that does not follow from the encoding, or iced does not say. */
function stackPointerChange(i: Instruction): number | undefined {
  const { operandSize: size, immediate } = i;
  switch (i.encoding?.semantics) {
    case 'PUSH':
    case 'PUSH_SEG':
    case 'PUSHF':
    case 'CALL':
    case 'CALL_INDIRECT':
      return -size;
    case 'POP':
    case 'POP_SEG':
    case 'POPF':
      return size;
    case 'RET':
      return size + immediate;
    case 'RETF':
      return 2 * size + immediate;
    case 'PUSHA':
      return -8 * size;
    case 'POPA':
      return 8 * size;
    case 'ENTER':
      return -(size * ((i.immediate2 & 31) + 1) + immediate);
    case 'IRET':
      return (i.codeSize === 64 ? 5 : 3) * size;
    case 'CALL_FAR':
      // With REX.W the frame has two times 64 bits, tried on Zen 5; iced has 32.
      return size === 8 ? undefined : -2 * size;
    default:
      return undefined;
  }
}

/** What differs, in words. */
export function hiddenDifference(i: Instruction, iced: IcedDecoder): string | undefined {
  const end = formEnd(i);
  if (end !== undefined && !iced.form.endsWith(end) && !iced.form.includes(`${end}_`)) {
    return `form should end in ${end}, iced has ${iced.form}`;
  }
  const change = stackPointerChange(i);
  if (change === undefined || change === iced.stackPointerIncrement) return undefined;
  return `stack pointer changes by ${change}, iced has ${iced.stackPointerIncrement}`;
}
