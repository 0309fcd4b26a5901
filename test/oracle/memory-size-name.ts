import type { Instruction, Operand } from '../../engine/cpu/decoder/instruction.js';

const NAMES: Readonly<Record<number, string>> = {
  1: 'byte',
  2: 'word',
  4: 'dword',
  6: 'fword',
  8: 'qword',
  10: 'tbyte',
  16: 'xmmword',
};

/** Operands that the table has without a size (`M`, `Ms`), by their bytes; the x87 environment depends on `wide`. */
function unsizedBytes(i: Instruction): string {
  const wide = i.operandSize !== 2;
  switch (i.encoding?.semantics) {
    case 'BOUND':
      return wide ? 'qword' : 'dword';
    case 'CMPXCHG8B':
      return i.operandSize === 8 ? 'xmmword' : 'qword';
    case 'FLD_EXTENDED':
    case 'FSTP_EXTENDED':
    case 'FBLD':
    case 'FBSTP':
      return 'tbyte';
    case 'FLDENV':
    case 'FNSTENV':
      return wide ? 'fpuenv28' : 'fpuenv14';
    case 'FRSTOR':
    case 'FNSAVE':
      return wide ? 'fpustate108' : 'fpustate94';
    case 'SGDT':
    case 'SIDT':
    case 'LGDT':
    case 'LIDT':
      return 'fword';
    default:
      return '';
  }
}

/** `dword ptr `, or nothing where the size has no name. */
export function memorySizeName(i: Instruction, operand: Operand): string {
  if (i.encoding?.semantics === 'INVLPG') return '';
  const isFarPointer = i.encoding?.operands.includes('Mp') ?? false;
  // A selector follows the offset. AMD has no 64-bit offset: REX.W changes nothing.
  const bytes = isFarPointer ? Math.min(operand.size, 4) + 2 : operand.size;
  const name = operand.size === 0 ? unsizedBytes(i) : (NAMES[bytes] ?? `${bytes} bytes`);
  return name === '' ? '' : `${name} ptr `;
}
