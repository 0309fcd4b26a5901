import type { Instruction } from '../../engine/cpu/decoder/instruction.js';
import { generalRegister, segmentName } from './register-name.js';

/** Operands that an instruction has without naming them in its encoding, as far as iced-x86 shows them. */

const SIZES: Readonly<Record<number, string>> = { 1: 'byte', 2: 'word', 4: 'dword', 8: 'qword' };
const [RAX, RBX, RSI, RDI] = [0, 3, 6, 7];

function stringOperands(i: Instruction): string[] | undefined {
  const isPort = i.encoding?.semantics === 'INS' || i.encoding?.semantics === 'OUTS';
  const bytes = isPort ? Math.min(i.operandSize, 4) : i.operandSize;
  const address = i.addressSize / 8;
  const source = (): string => `${SIZES[bytes]} ptr ${segmentName(i)}:[${generalRegister(RSI, address)}]`;
  // No prefix changes the segment of the destination.
  const destination = (): string => `${SIZES[bytes]} ptr es:[${generalRegister(RDI, address)}]`;
  const accumulator = (): string => generalRegister(RAX, bytes);
  switch (i.encoding?.semantics) {
    case 'MOVS':
      return [destination(), source()];
    case 'CMPS':
      return [source(), destination()];
    case 'STOS':
      return [destination(), accumulator()];
    case 'LODS':
      return [accumulator(), source()];
    case 'SCAS':
      return [accumulator(), destination()];
    case 'INS':
      return [destination(), 'dx'];
    case 'OUTS':
      return ['dx', source()];
    default:
      return undefined;
  }
}

const ONE_REGISTER = new Set('FLD FFREE FFREEP FST FSTP FSTPNCE'.split(' '));
const DESTINATION_FIRST = new Set(
  'FADD_STI FMUL_STI FSUB_STI FSUBR_STI FDIV_STI FDIVR_STI FADDP FMULP FSUBP FSUBRP FDIVP FDIVRP'.split(' '),
);

/** ST and ST(i) of an x87 instruction on registers. */
function stackOperands(i: Instruction): string[] {
  const at = `st(${i.modrm & 7})`;
  const semantics = i.encoding?.semantics ?? '';
  if (ONE_REGISTER.has(semantics)) return [at];
  return DESTINATION_FIRST.has(semantics) ? [at, 'st(0)'] : ['st(0)', at];
}

const isStackForm = (i: Instruction): boolean =>
  i.encoding?.map === 0 &&
  (i.encoding.opcode & 0xf8) === 0xd8 &&
  i.encoding.mod === 'register' &&
  i.encoding.rm === undefined;

/** All operands in iced's order; `explicit` are those of the encoding. */
export function withImplicit(i: Instruction, explicit: string[]): string[] {
  if (isStackForm(i)) return stackOperands(i);
  const ofString = explicit.length === 0 && i.encoding?.map === 0 ? stringOperands(i) : undefined;
  if (ofString) return ofString;
  const address = i.addressSize / 8;
  switch (i.encoding?.semantics) {
    case 'XLAT':
      return [`byte ptr ${segmentName(i)}:[${generalRegister(RBX, address)}]`];
    case 'MASKMOVDQU':
      return [`xmmword ptr ${segmentName(i)}:[${generalRegister(RDI, address)}]`, ...explicit];
    case 'MASKMOVQ_MMX':
      return [`qword ptr ${segmentName(i)}:[${generalRegister(RDI, address)}]`, ...explicit];
    case 'FNSTSW_AX':
      return ['ax'];
    default:
      return explicit;
  }
}
