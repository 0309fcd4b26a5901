import { type EncodingOptions, type EncodingRow, type OperandKind, row } from './encoding.js';

/** Instructions on MMX registers: APM volume 5, chapter 1, with the forms that SSE to SSSE3 added. */

const ends: EncodingOptions = { ends: true };
const mmx = (text: string, mnemonic: string, operands: readonly OperandKind[], semantics = mnemonic): EncodingRow =>
  row(text, mnemonic, operands, { ...ends, semantics: `${semantics}_MMX` });

/** Packed integers on two operands: opcode after 0F, without 66. */
const TWO_OPERANDS =
  `60 PUNPCKLBW 61 PUNPCKLWD 62 PUNPCKLDQ 63 PACKSSWB 64 PCMPGTB 65 PCMPGTW 66 PCMPGTD 67 PACKUSWB 68 PUNPCKHBW
  69 PUNPCKHWD 6A PUNPCKHDQ 6B PACKSSDW 74 PCMPEQB 75 PCMPEQW 76 PCMPEQD D1 PSRLW D2 PSRLD D3 PSRLQ D4 PADDQ D5 PMULLW
  D8 PSUBUSB D9 PSUBUSW DA PMINUB DB PAND DC PADDUSB DD PADDUSW DE PMAXUB DF PANDN E0 PAVGB E1 PSRAW E2 PSRAD E3 PAVGW
  E4 PMULHUW E5 PMULHW E8 PSUBSB E9 PSUBSW EA PMINSW EB POR EC PADDSB ED PADDSW EE PMAXSW EF PXOR F1 PSLLW F2 PSLLD
  F3 PSLLQ F4 PMULUDQ F5 PMADDWD F6 PSADBW F8 PSUBB F9 PSUBW FA PSUBD FB PSUBQ FC PADDB FD PADDW FE PADDD
  38.00 PSHUFB 38.01 PHADDW 38.02 PHADDD 38.03 PHADDSW 38.04 PMADDUBSW 38.05 PHSUBW 38.06 PHSUBD 38.07 PHSUBSW
  38.08 PSIGNB 38.09 PSIGNW 38.0A PSIGND 38.0B PMULHRSW 38.1C PABSB 38.1D PABSW 38.1E PABSD`.split(/\s+/);

function twoOperandRows(): EncodingRow[] {
  const out: EncodingRow[] = [];
  for (let n = 0; n < TWO_OPERANDS.length; n += 2) {
    const opcode = (TWO_OPERANDS[n] ?? '').replace('.', ' ');
    const mnemonic = TWO_OPERANDS[n + 1] ?? '';
    // The low halves of PUNPCKL read only 32 bits of memory.
    out.push(mmx(`NP 0F ${opcode}`, mnemonic, ['Pq', /^PUNPCKL/.test(mnemonic) ? 'Qd' : 'Qq']));
  }
  return out;
}

const SHIFTS: readonly (readonly [opcode: string, extension: number, mnemonic: string])[] = [
  ['71', 2, 'PSRLW'],
  ['71', 4, 'PSRAW'],
  ['71', 6, 'PSLLW'],
  ['72', 2, 'PSRLD'],
  ['72', 4, 'PSRAD'],
  ['72', 6, 'PSLLD'],
  ['73', 2, 'PSRLQ'],
  ['73', 6, 'PSLLQ'],
];

export const MMX: readonly EncodingRow[] = [
  ...twoOperandRows(),
  ...SHIFTS.map(([opcode, n, mnemonic]) => mmx(`NP 0F ${opcode} /${n}`, mnemonic, ['Nq', 'Ib'])),
  mmx('NP 0F 6E', 'MOVD', ['Pq', 'Ey'], 'MOVD_LOAD'),
  mmx('NP 0F 7E', 'MOVD', ['Ey', 'Pq'], 'MOVD_STORE'),
  mmx('NP 0F 6F', 'MOVQ', ['Pq', 'Qq']),
  mmx('NP 0F 7F', 'MOVQ', ['Qq', 'Pq']),
  mmx('NP 0F 70', 'PSHUFW', ['Pq', 'Qq', 'Ib']),
  mmx('NP 0F 3A 0F', 'PALIGNR', ['Pq', 'Qq', 'Ib']),
  mmx('NP 0F C4 /reg', 'PINSRW', ['Pq', 'Ed', 'Ib']),
  mmx('NP 0F C4 /mem', 'PINSRW', ['Pq', 'Mw', 'Ib']),
  mmx('NP 0F C5', 'PEXTRW', ['Gd', 'Nq', 'Ib']),
  mmx('NP 0F D7', 'PMOVMSKB', ['Gd', 'Nq']),
  mmx('NP 0F E7', 'MOVNTQ', ['Mq', 'Pq'], 'MOVQ'),
  mmx('NP 0F F7', 'MASKMOVQ', ['Pq', 'Nq']),
  mmx('F3 0F D6', 'MOVQ2DQ', ['Vo', 'Nq']),
  mmx('F2 0F D6', 'MOVDQ2Q', ['Pq', 'Uo']),
  mmx('NP 0F 2A', 'CVTPI2PS', ['Vo', 'Qq']),
  mmx('66 0F 2A', 'CVTPI2PD', ['Vo', 'Qq']),
  mmx('NP 0F 2C', 'CVTTPS2PI', ['Pq', 'Wq']),
  mmx('NP 0F 2D', 'CVTPS2PI', ['Pq', 'Wq']),
  mmx('66 0F 2C', 'CVTTPD2PI', ['Pq', 'Wo']),
  mmx('66 0F 2D', 'CVTPD2PI', ['Pq', 'Wo']),
];
