import { type EncodingOptions, type EncodingRow, type OperandKind, row } from './encoding.js';

/**
 * Instructions that processors of AMD from Zen 3 on have, some only with a feature of CPUID, and that nothing executes
 * yet. With a row they end in a Fault that names them; an opcode without a row is #UD.
 */

const ends: EncodingOptions = { ends: true };
const ring0: EncodingOptions = { ends: true, privileged: true };
const vector = (text: string, mnemonic: string, operands: readonly OperandKind[] = ['Vo', 'Wo']): EncodingRow =>
  row(text, mnemonic, operands, ends);

/** AES, PCLMULQDQ, SHA, GFNI and SSE4A: APM volume 4. */
const VECTOR: readonly EncodingRow[] = [
  vector('66 0F 38 DB', 'AESIMC'),
  vector('66 0F 38 DC', 'AESENC'),
  vector('66 0F 38 DD', 'AESENCLAST'),
  vector('66 0F 38 DE', 'AESDEC'),
  vector('66 0F 38 DF', 'AESDECLAST'),
  vector('66 0F 3A DF', 'AESKEYGENASSIST', ['Vo', 'Wo', 'Ib']),
  vector('66 0F 3A 44', 'PCLMULQDQ', ['Vo', 'Wo', 'Ib']),
  vector('NP 0F 38 C8', 'SHA1NEXTE'),
  vector('NP 0F 38 C9', 'SHA1MSG1'),
  vector('NP 0F 38 CA', 'SHA1MSG2'),
  vector('NP 0F 38 CB', 'SHA256RNDS2'),
  vector('NP 0F 38 CC', 'SHA256MSG1'),
  vector('NP 0F 38 CD', 'SHA256MSG2'),
  vector('NP 0F 3A CC', 'SHA1RNDS4', ['Vo', 'Wo', 'Ib']),
  vector('66 0F 38 CF', 'GF2P8MULB'),
  vector('66 0F 3A CE', 'GF2P8AFFINEQB', ['Vo', 'Wo', 'Ib']),
  vector('66 0F 3A CF', 'GF2P8AFFINEINVQB', ['Vo', 'Wo', 'Ib']),
  // Two bytes of immediate: length and index of the field.
  vector('66 0F 78 /0', 'EXTRQ', ['Uo', 'Iw']),
  vector('66 0F 79', 'EXTRQ', ['Vo', 'Uo']),
  vector('F2 0F 78', 'INSERTQ', ['Vo', 'Uo', 'Iw']),
  vector('F2 0F 79', 'INSERTQ', ['Vo', 'Uo']),
  vector('F2 0F 2B', 'MOVNTSD', ['Mq', 'Vo']),
  vector('F3 0F 2B', 'MOVNTSS', ['Md', 'Vo']),
];

/** APM volume 3, and volume 2 for shadow stacks. */
const SYSTEM: readonly EncodingRow[] = [
  row('D6', 'SALC', [], { ...ends, modes: 'legacy', reads: 'C' }),
  row('NP 0F C7 /3', 'XRSTORS', ['M'], ring0),
  row('NP 0F C7 /4', 'XSAVEC', ['M'], ends),
  row('NP 0F C7 /5', 'XSAVES', ['M'], ring0),
  row('NP 0F 01 /5:6', 'RDPKRU', [], ends),
  row('NP 0F 01 /5:7', 'WRPKRU', [], ends),
  row('NP 0F 01 /7:2', 'MONITORX', [], ends),
  row('NP 0F 01 /7:3', 'MWAITX', [], ends),
  row('0F 01 /7:4', 'CLZERO', [], ends),
  row('NP 0F 01 /7:6', 'INVLPGB', [], ring0),
  row('NP 0F 01 /7:7', 'TLBSYNC', [], ring0),
  row('F3 0F 01 /7:2', 'MCOMMIT', [], { ...ends, writes: 'OSZAPC' }),
  row('NP 0F 38 F9', 'MOVDIRI', ['My', 'Gy'], ends),
  row('66 0F 38 F8', 'MOVDIR64B', ['Gv', 'M'], ends),
  row('F3 0F AE /5 /reg', 'INCSSP', ['Ry'], ends),
  row('F3 0F 01 /5 /mem', 'RSTORSSP', ['Mq'], { ...ends, writes: 'OSZAPC' }),
  row('F3 0F 01 /5:2', 'SAVEPREVSSP', [], ends),
  row('F3 0F 01 /5:0', 'SETSSBSY', [], ring0),
  row('F3 0F AE /6 /mem', 'CLRSSBSY', ['Mq'], { ...ring0, writes: 'OSZAPC' }),
  row('NP 0F 38 F6', 'WRSS', ['My', 'Gy'], ends),
  row('66 0F 38 F5', 'WRUSS', ['My', 'Gy'], ring0),
];

export const NOT_EXECUTED: readonly EncodingRow[] = [...VECTOR, ...SYSTEM];
