import { type EncodingOptions, type EncodingRow, type OperandKind, row } from './encoding.js';

/**
 * The x87 instructions, opcodes D8 to DF: APM volume 5, chapter 2, and volume 3, tables A-15 and on. A register form
 * names ST(i) in ModRM.rm. The second opcodes that processors have for the same instruction are rows too.
 */

const ends: EncodingOptions = { ends: true };
const hex2 = (n: number): string => n.toString(16).padStart(2, '0');

/** Memory form: opcode and ModRM.reg. */
const memory = (opcode: number, extension: number, mnemonic: string, operand: OperandKind, semantics = mnemonic) =>
  row(`${hex2(opcode)} /${extension} /mem`, mnemonic, [operand], { ...ends, semantics });

/** Register form: ST(i) in ModRM.rm. */
const stack = (opcode: number, extension: number, mnemonic: string, options: EncodingOptions = {}): EncodingRow =>
  row(`${hex2(opcode)} /${extension} /reg`, mnemonic, [], { ...ends, ...options });

/** Register forms that are an instruction of their own for each ModRM.rm from 0 on; `-` for none. */
const each = (opcode: number, extension: number, mnemonics: string): EncodingRow[] =>
  mnemonics
    .split(' ')
    .flatMap((mnemonic, rm) =>
      mnemonic === '-' ? [] : [row(`${hex2(opcode)} /${extension}:${rm}`, mnemonic, [], ends)],
    );

const ARITHMETIC = ['ADD', 'MUL', 'COM', 'COMP', 'SUB', 'SUBR', 'DIV', 'DIVR'];
/** With ST(i) as destination, subtraction and division change places with their reversed forms. */
const REVERSED = ['ADD', 'MUL', '', '', 'SUBR', 'SUB', 'DIVR', 'DIV'];

function arithmeticRows(): EncodingRow[] {
  return ARITHMETIC.flatMap((name, n) => [
    memory(0xd8, n, `F${name}`, 'Md', `F${name}_M`),
    stack(0xd8, n, `F${name}`),
    memory(0xdc, n, `F${name}`, 'Mq', `F${name}_M`),
    memory(0xda, n, `FI${name}`, 'Md'),
    memory(0xde, n, `FI${name}`, 'Mw'),
  ]).concat(
    REVERSED.flatMap((name, n) =>
      name === '' ? [] : [stack(0xdc, n, `F${name}`, { semantics: `F${name}_STI` }), stack(0xde, n, `F${name}P`)],
    ),
  );
}

const flags: EncodingOptions = { writes: 'OSZAPC' };
const conditional = (reads: string, mnemonic: string, opcode: number, extension: number): EncodingRow =>
  stack(opcode, extension, mnemonic, { reads });

export const X87: readonly EncodingRow[] = [
  ...arithmeticRows(),
  memory(0xd9, 0, 'FLD', 'Md', 'FLD_M'),
  memory(0xd9, 2, 'FST', 'Md', 'FST_M'),
  memory(0xd9, 3, 'FSTP', 'Md', 'FSTP_M'),
  memory(0xd9, 4, 'FLDENV', 'M'),
  memory(0xd9, 5, 'FLDCW', 'Mw'),
  memory(0xd9, 6, 'FNSTENV', 'M'),
  memory(0xd9, 7, 'FNSTCW', 'Mw'),
  stack(0xd9, 0, 'FLD'),
  stack(0xd9, 1, 'FXCH'),
  row('d9 /2:0', 'FNOP', [], ends),
  // Undocumented: stores, and pops even an empty register without a stack fault.
  stack(0xd9, 3, 'FSTPNCE'),
  ...each(0xd9, 4, 'FCHS FABS - - FTST FXAM'),
  ...each(0xd9, 5, 'FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ'),
  ...each(0xd9, 6, 'F2XM1 FYL2X FPTAN FPATAN FXTRACT FPREM1 FDECSTP FINCSTP'),
  ...each(0xd9, 7, 'FPREM FYL2XP1 FSQRT FSINCOS FRNDINT FSCALE FSIN FCOS'),
  conditional('C', 'FCMOVB', 0xda, 0),
  conditional('Z', 'FCMOVE', 0xda, 1),
  conditional('CZ', 'FCMOVBE', 0xda, 2),
  conditional('P', 'FCMOVU', 0xda, 3),
  row('da /5:1', 'FUCOMPP', [], ends),
  memory(0xdb, 0, 'FILD', 'Md'),
  memory(0xdb, 1, 'FISTTP', 'Md'),
  memory(0xdb, 2, 'FIST', 'Md'),
  memory(0xdb, 3, 'FISTP', 'Md'),
  memory(0xdb, 5, 'FLD', 'M', 'FLD_EXTENDED'),
  memory(0xdb, 7, 'FSTP', 'M', 'FSTP_EXTENDED'),
  conditional('C', 'FCMOVNB', 0xdb, 0),
  conditional('Z', 'FCMOVNE', 0xdb, 1),
  conditional('CZ', 'FCMOVNBE', 0xdb, 2),
  conditional('P', 'FCMOVNU', 0xdb, 3),
  ...each(0xdb, 4, 'FNENI FNDISI FNCLEX FNINIT FNSETPM'),
  stack(0xdb, 5, 'FUCOMI', flags),
  stack(0xdb, 6, 'FCOMI', flags),
  stack(0xdc, 2, 'FCOM'),
  stack(0xdc, 3, 'FCOMP'),
  memory(0xdd, 0, 'FLD', 'Mq', 'FLD_M'),
  memory(0xdd, 1, 'FISTTP', 'Mq'),
  memory(0xdd, 2, 'FST', 'Mq', 'FST_M'),
  memory(0xdd, 3, 'FSTP', 'Mq', 'FSTP_M'),
  memory(0xdd, 4, 'FRSTOR', 'M'),
  memory(0xdd, 6, 'FNSAVE', 'M'),
  memory(0xdd, 7, 'FNSTSW', 'Mw'),
  stack(0xdd, 0, 'FFREE'),
  stack(0xdd, 1, 'FXCH'),
  stack(0xdd, 2, 'FST'),
  stack(0xdd, 3, 'FSTP'),
  stack(0xdd, 4, 'FUCOM'),
  stack(0xdd, 5, 'FUCOMP'),
  stack(0xde, 2, 'FCOMP'),
  row('de /3:1', 'FCOMPP', [], ends),
  memory(0xdf, 0, 'FILD', 'Mw'),
  memory(0xdf, 1, 'FISTTP', 'Mw'),
  memory(0xdf, 2, 'FIST', 'Mw'),
  memory(0xdf, 3, 'FISTP', 'Mw'),
  memory(0xdf, 4, 'FBLD', 'M'),
  memory(0xdf, 5, 'FILD', 'Mq'),
  memory(0xdf, 6, 'FBSTP', 'M'),
  memory(0xdf, 7, 'FISTP', 'Mq'),
  stack(0xdf, 0, 'FFREEP'),
  stack(0xdf, 1, 'FXCH'),
  stack(0xdf, 2, 'FSTP'),
  stack(0xdf, 3, 'FSTP'),
  row('df /4:0', 'FNSTSW', [], { ...ends, semantics: 'FNSTSW_AX' }),
  stack(0xdf, 5, 'FUCOMIP', flags),
  stack(0xdf, 6, 'FCOMIP', flags),
];
