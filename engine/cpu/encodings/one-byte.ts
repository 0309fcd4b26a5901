import { type EncodingOptions, type EncodingRow, forEachCondition, row } from './encoding.js';

/** The one-byte opcode map: APM volume 3, table, groups in table A-6. */

const ALL = 'OSZAPC';
const arithmetic: EncodingOptions = { writes: ALL };
const logic: EncodingOptions = { writes: 'OSZPC', undefined: 'A' };
const hex2 = (n: number): string => n.toString(16).padStart(2, '0');

function aluOptions(mnemonic: string): EncodingOptions {
  const base = mnemonic === 'AND' || mnemonic === 'OR' || mnemonic === 'XOR' ? logic : arithmetic;
  return mnemonic === 'ADC' || mnemonic === 'SBB' ? { ...base, reads: 'C' } : base;
}

const ALU = 'ADD OR ADC SBB AND SUB XOR CMP'.split(' ');

function aluRows(): EncodingRow[] {
  return ALU.flatMap((mnemonic, n) => {
    const options = aluOptions(mnemonic);
    const lock = { ...options, lock: mnemonic !== 'CMP' };
    const at = (k: number): string => hex2(n * 8 + k);
    return [
      row(at(0), mnemonic, ['Eb', 'Gb'], lock),
      row(at(1), mnemonic, ['Ev', 'Gv'], lock),
      row(at(2), mnemonic, ['Gb', 'Eb'], options),
      row(at(3), mnemonic, ['Gv', 'Ev'], options),
      row(at(4), mnemonic, ['AL', 'Ib'], options),
      row(at(5), mnemonic, ['rAX', 'Iz'], options),
      row(`80 /${n}`, mnemonic, ['Eb', 'Ib'], lock),
      row(`81 /${n}`, mnemonic, ['Ev', 'Iz'], lock),
      row(`82 /${n}`, mnemonic, ['Eb', 'Ib'], { ...lock, modes: 'legacy' }),
      row(`83 /${n}`, mnemonic, ['Ev', 'Ibs'], lock),
    ];
  });
}

const SHIFTS = 'ROL ROR RCL RCR SHL SHR SHL SAR'.split(' ');

function shiftRows(): EncodingRow[] {
  return SHIFTS.flatMap((mnemonic, n) => {
    const rotate = n < 4;
    const carry = n === 2 || n === 3 ? { reads: 'C' } : {};
    const options: EncodingOptions = rotate
      ? { ...carry, writes: 'C', undefined: 'O' }
      : { writes: 'SZPC', undefined: 'OA' };
    const once: EncodingOptions = rotate ? { ...carry, writes: 'OC' } : { writes: 'OSZPC', undefined: 'A' };
    return [
      row(`C0 /${n}`, mnemonic, ['Eb', 'Ic'], options),
      row(`C1 /${n}`, mnemonic, ['Ev', 'Ic'], options),
      row(`D0 /${n}`, mnemonic, ['Eb', '1'], once),
      row(`D1 /${n}`, mnemonic, ['Ev', '1'], once),
      row(`D2 /${n}`, mnemonic, ['Eb', 'CL'], options),
      row(`D3 /${n}`, mnemonic, ['Ev', 'CL'], options),
    ];
  });
}

const multiply: EncodingOptions = { writes: 'OC', undefined: 'SZAP' };
const divide: EncodingOptions = { undefined: ALL };

function unaryRows(): EncodingRow[] {
  const lock = { lock: true };
  return [
    row('F6 /0', 'TEST', ['Eb', 'Ib'], logic),
    row('F6 /1', 'TEST', ['Eb', 'Ib'], logic),
    row('F7 /0', 'TEST', ['Ev', 'Iz'], logic),
    row('F7 /1', 'TEST', ['Ev', 'Iz'], logic),
    row('F6 /2', 'NOT', ['Eb'], lock),
    row('F7 /2', 'NOT', ['Ev'], lock),
    row('F6 /3', 'NEG', ['Eb'], { ...arithmetic, ...lock }),
    row('F7 /3', 'NEG', ['Ev'], { ...arithmetic, ...lock }),
    row('F6 /4', 'MUL', ['Eb'], multiply),
    row('F7 /4', 'MUL', ['Ev'], multiply),
    row('F6 /5', 'IMUL', ['Eb'], { ...multiply, semantics: 'IMUL1' }),
    row('F7 /5', 'IMUL', ['Ev'], { ...multiply, semantics: 'IMUL1' }),
    row('F6 /6', 'DIV', ['Eb'], divide),
    row('F7 /6', 'DIV', ['Ev'], divide),
    row('F6 /7', 'IDIV', ['Eb'], divide),
    row('F7 /7', 'IDIV', ['Ev'], divide),
    row('FE /0', 'INC', ['Eb'], { writes: 'OSZAP', ...lock }),
    row('FF /0', 'INC', ['Ev'], { writes: 'OSZAP', ...lock }),
    row('FE /1', 'DEC', ['Eb'], { writes: 'OSZAP', ...lock }),
    row('FF /1', 'DEC', ['Ev'], { writes: 'OSZAP', ...lock }),
    row('40+r', 'INC', ['Zv'], { writes: 'OSZAP', modes: 'legacy' }),
    row('48+r', 'DEC', ['Zv'], { writes: 'OSZAP', modes: 'legacy' }),
    row('69', 'IMUL', ['Gv', 'Ev', 'Iz'], { ...multiply, semantics: 'IMUL3' }),
    row('6B', 'IMUL', ['Gv', 'Ev', 'Ibs'], { ...multiply, semantics: 'IMUL3' }),
    row('98', 'CBW', [], { semantics: 'CBW' }),
    row('99', 'CWD', [], { semantics: 'CWD' }),
  ];
}

const decimal = (reads: string, writes: string): EncodingOptions => ({
  reads,
  writes,
  undefined: [...ALL].filter((f) => !writes.includes(f)).join(''),
  modes: 'legacy',
});

function moveRows(): EncodingRow[] {
  const segmentStack = (opcode: string, mnemonic: string, segment: 'ES' | 'CS' | 'SS' | 'DS'): EncodingRow =>
    row(opcode, mnemonic, [segment], { semantics: `${mnemonic}_SEG`, modes: 'legacy', ends: mnemonic === 'POP' });
  return [
    row('84', 'TEST', ['Eb', 'Gb'], logic),
    row('85', 'TEST', ['Ev', 'Gv'], logic),
    row('A8', 'TEST', ['AL', 'Ib'], logic),
    row('A9', 'TEST', ['rAX', 'Iz'], logic),
    row('86', 'XCHG', ['Eb', 'Gb'], { lock: true }),
    row('87', 'XCHG', ['Ev', 'Gv'], { lock: true }),
    row('90', 'NOP', []),
    row('F3 90', 'PAUSE', [], { ends: true }),
    row('90+r', 'XCHG', ['Zv', 'rAX']),
    row('88', 'MOV', ['Eb', 'Gb']),
    row('89', 'MOV', ['Ev', 'Gv']),
    row('8A', 'MOV', ['Gb', 'Eb']),
    row('8B', 'MOV', ['Gv', 'Ev']),
    row('8C', 'MOV', ['EvMw', 'Sw'], { semantics: 'MOV_FROM_SEG' }),
    row('8E', 'MOV', ['Sw', 'Ew'], { semantics: 'MOV_TO_SEG', ends: true }),
    row('8D', 'LEA', ['Gv', 'M']),
    row('A0', 'MOV', ['AL', 'Ob']),
    row('A1', 'MOV', ['rAX', 'Ov']),
    row('A2', 'MOV', ['Ob', 'AL']),
    row('A3', 'MOV', ['Ov', 'rAX']),
    row('B0+r', 'MOV', ['Zb', 'Ib']),
    row('B8+r', 'MOV', ['Zv', 'Iv']),
    row('C6 /0', 'MOV', ['Eb', 'Ib']),
    row('C7 /0', 'MOV', ['Ev', 'Iz']),
    row('63', 'MOVSXD', ['Gv', 'Ed'], { modes: 'long' }),
    row('63', 'ARPL', ['Ew', 'Gw'], { modes: 'legacy', writes: 'Z', ends: true }),
    row('50+r', 'PUSH', ['Zv'], { size: 'default64' }),
    row('58+r', 'POP', ['Zv'], { size: 'default64' }),
    row('68', 'PUSH', ['Iz'], { size: 'default64' }),
    row('6A', 'PUSH', ['Ibs'], { size: 'default64' }),
    row('FF /6', 'PUSH', ['Ev'], { size: 'default64' }),
    row('8F /0', 'POP', ['Ev'], { size: 'default64' }),
    row('60', 'PUSHA', [], { modes: 'legacy', ends: true }),
    row('61', 'POPA', [], { modes: 'legacy', ends: true }),
    row('62', 'BOUND', ['Gv', 'M'], { modes: 'legacy', ends: true }),
    row('9C', 'PUSHF', [], { size: 'default64', reads: ALL }),
    row('9D', 'POPF', [], { size: 'default64', writes: ALL, ends: true }),
    row('C8', 'ENTER', ['Iw', 'Ib'], { size: 'default64', ends: true }),
    row('C9', 'LEAVE', [], { size: 'default64' }),
    segmentStack('06', 'PUSH', 'ES'),
    segmentStack('07', 'POP', 'ES'),
    segmentStack('0E', 'PUSH', 'CS'),
    segmentStack('16', 'PUSH', 'SS'),
    segmentStack('17', 'POP', 'SS'),
    segmentStack('1E', 'PUSH', 'DS'),
    segmentStack('1F', 'POP', 'DS'),
    row('C4', 'LES', ['Gv', 'Mp'], { modes: 'legacy', ends: true }),
    row('C5', 'LDS', ['Gv', 'Mp'], { modes: 'legacy', ends: true }),
    row('D7', 'XLAT', []),
    row('9E', 'SAHF', [], { writes: 'SZAPC' }),
    row('9F', 'LAHF', [], { reads: 'SZAPC' }),
    row('27', 'DAA', [], { ...decimal('AC', 'SZAPC'), ends: true }),
    row('2F', 'DAS', [], { ...decimal('AC', 'SZAPC'), ends: true }),
    row('37', 'AAA', [], { ...decimal('A', 'AC'), ends: true }),
    row('3F', 'AAS', [], { ...decimal('A', 'AC'), ends: true }),
    row('D4', 'AAM', ['Ib'], { ...decimal('', 'SZP'), ends: true }),
    row('D5', 'AAD', ['Ib'], { ...decimal('', 'SZP'), ends: true }),
  ];
}

function stringRows(): EncodingRow[] {
  const pair = (opcode: number, mnemonic: string, options: EncodingOptions): EncodingRow[] => [
    row(hex2(opcode), `${mnemonic}B`, [], { ...options, semantics: mnemonic, size: 'byte' }),
    row(hex2(opcode + 1), mnemonic, [], { ...options, semantics: mnemonic }),
  ];
  return [
    ...pair(0xa4, 'MOVS', { repeat: 'rep', reads: 'D' }),
    ...pair(0xa6, 'CMPS', { repeat: 'repe', reads: 'D', writes: ALL }),
    ...pair(0xaa, 'STOS', { repeat: 'rep', reads: 'D' }),
    ...pair(0xac, 'LODS', { repeat: 'rep', reads: 'D' }),
    ...pair(0xae, 'SCAS', { repeat: 'repe', reads: 'D', writes: ALL }),
    ...pair(0x6c, 'INS', { repeat: 'rep', reads: 'D', ends: true }),
    ...pair(0x6e, 'OUTS', { repeat: 'rep', reads: 'D', ends: true }),
  ];
}

function branchRows(): EncodingRow[] {
  const near: EncodingOptions = { size: 'default64', ends: true };
  return [
    ...forEachCondition(0x70, (opcode, cc, reads) =>
      row(opcode, `J${cc}`, ['Jb'], { ...near, semantics: 'Jcc', reads }),
    ),
    row('E0', 'LOOPNZ', ['Jb'], { ...near, reads: 'Z' }),
    row('E1', 'LOOPZ', ['Jb'], { ...near, reads: 'Z' }),
    row('E2', 'LOOP', ['Jb'], near),
    row('E3', 'JCXZ', ['Jb'], near),
    row('E8', 'CALL', ['Jz'], near),
    row('E9', 'JMP', ['Jz'], near),
    row('EB', 'JMP', ['Jb'], near),
    row('FF /2', 'CALL', ['Ev'], { ...near, semantics: 'CALL_INDIRECT' }),
    row('FF /4', 'JMP', ['Ev'], { ...near, semantics: 'JMP_INDIRECT' }),
    row('C2', 'RET', ['Iw'], near),
    row('C3', 'RET', [], near),
    row('9A', 'CALL', ['Ap'], { semantics: 'CALL_FAR', modes: 'legacy', ends: true }),
    row('EA', 'JMP', ['Ap'], { semantics: 'JMP_FAR', modes: 'legacy', ends: true }),
    row('FF /3', 'CALL', ['Mp'], { semantics: 'CALL_FAR', ends: true }),
    row('FF /5', 'JMP', ['Mp'], { semantics: 'JMP_FAR', ends: true }),
    row('CA', 'RETF', ['Iw'], { ends: true }),
    row('CB', 'RETF', [], { ends: true }),
    row('CF', 'IRET', [], { ends: true, writes: ALL }),
    row('CC', 'INT3', [], { ends: true }),
    row('CD', 'INT', ['Ib'], { ends: true }),
    row('CE', 'INTO', [], { ends: true, modes: 'legacy', reads: 'O' }),
    row('F1', 'INT1', [], { ends: true }),
  ];
}

function systemRows(): EncodingRow[] {
  const ends = { ends: true };
  return [
    row('E4', 'IN', ['AL', 'Ib'], ends),
    row('E5', 'IN', ['eAX', 'Ib'], ends),
    row('EC', 'IN', ['AL', 'DX'], ends),
    row('ED', 'IN', ['eAX', 'DX'], ends),
    row('E6', 'OUT', ['Ib', 'AL'], ends),
    row('E7', 'OUT', ['Ib', 'eAX'], ends),
    row('EE', 'OUT', ['DX', 'AL'], ends),
    row('EF', 'OUT', ['DX', 'eAX'], ends),
    row('F4', 'HLT', [], { ends: true, privileged: true }),
    row('F5', 'CMC', [], { reads: 'C', writes: 'C' }),
    row('F8', 'CLC', [], { writes: 'C' }),
    row('F9', 'STC', [], { writes: 'C' }),
    row('FA', 'CLI', [], { ends: true, writes: 'I' }),
    row('FB', 'STI', [], { ends: true, writes: 'I' }),
    row('FC', 'CLD', [], { writes: 'D' }),
    row('FD', 'STD', [], { writes: 'D' }),
    row('9B', 'FWAIT', [], ends),
  ];
}

export const ONE_BYTE: readonly EncodingRow[] = [
  ...aluRows(),
  ...shiftRows(),
  ...unaryRows(),
  ...moveRows(),
  ...stringRows(),
  ...branchRows(),
  ...systemRows(),
];
