/** Exception vectors by AMD's names: AMD64 APM volume 2, table 8-1. */
const NAMES: Readonly<Record<number, string>> = {
  0: '#DE',
  1: '#DB',
  2: 'NMI',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  8: '#DF',
  10: '#TS',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  18: '#MC',
  19: '#XF',
  21: '#CP',
  28: '#HV',
  29: '#VC',
  30: '#SX',
};

export function exceptionName(vector: number): string {
  return NAMES[vector] ?? `vector ${vector}`;
}
