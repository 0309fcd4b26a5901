import type { Instruction } from '../../engine/cpu/decoder/instruction.js';

/** Intel's spelling of the conditions that AMD spells otherwise. */
const CONDITION: Readonly<Record<string, string>> = { NB: 'AE', Z: 'E', NZ: 'NE', NBE: 'A', NL: 'GE', NLE: 'G' };

const ALIASES: Readonly<Record<string, string>> = { LOOPZ: 'LOOPE', LOOPNZ: 'LOOPNE', FWAIT: 'WAIT' };

/** Rows of the table that have a name for each operand size: of 2, 4 and 8 bytes. */
const BY_OPERAND_SIZE: Readonly<Record<string, readonly [string, string, string]>> = {
  CBW: ['cbw', 'cwde', 'cdqe'],
  CWD: ['cwd', 'cdq', 'cqo'],
  PUSHF: ['pushf', 'pushfd', 'pushfq'],
  POPF: ['popf', 'popfd', 'popfq'],
  PUSHA: ['pusha', 'pushad', ''],
  POPA: ['popa', 'popad', ''],
  IRET: ['iret', 'iretd', 'iretq'],
  MOVS: ['movsw', 'movsd', 'movsq'],
  CMPS: ['cmpsw', 'cmpsd', 'cmpsq'],
  STOS: ['stosw', 'stosd', 'stosq'],
  LODS: ['lodsw', 'lodsd', 'lodsq'],
  SCAS: ['scasw', 'scasd', 'scasq'],
  INS: ['insw', 'insd', 'insd'],
  OUTS: ['outsw', 'outsd', 'outsd'],
  RETF: ['retf', 'retf', 'retfq'],
  SYSRET: ['sysret', 'sysret', 'sysretq'],
  SYSEXIT: ['sysexit', 'sysexit', 'sysexitq'],
  CMPXCHG8B: ['cmpxchg8b', 'cmpxchg8b', 'cmpxchg16b'],
  MOVD: ['movd', 'movd', 'movq'],
  PINSRD: ['pinsrd', 'pinsrd', 'pinsrq'],
  PEXTRD: ['pextrd', 'pextrd', 'pextrq'],
  FXSAVE: ['fxsave', 'fxsave', 'fxsave64'],
  FXRSTOR: ['fxrstor', 'fxrstor', 'fxrstor64'],
  XSAVE: ['xsave', 'xsave', 'xsave64'],
  XRSTOR: ['xrstor', 'xrstor', 'xrstor64'],
  PCMPESTRM: ['pcmpestrm', 'pcmpestrm', 'pcmpestrm64'],
  PCMPESTRI: ['pcmpestri', 'pcmpestri', 'pcmpestri64'],
  XSAVEC: ['xsavec', 'xsavec', 'xsavec64'],
  XSAVES: ['xsaves', 'xsaves', 'xsaves64'],
  XRSTORS: ['xrstors', 'xrstors', 'xrstors64'],
  WRSS: ['wrssd', 'wrssd', 'wrssq'],
  WRUSS: ['wrussd', 'wrussd', 'wrussq'],
  INCSSP: ['incsspd', 'incsspd', 'incsspq'],
  XSAVEOPT: ['xsaveopt', 'xsaveopt', 'xsaveopt64'],
};

const lower = new Map<string, string>();

/** Name of a row whose name depends on nothing. */
function plain(mnemonic: string): string {
  const known = lower.get(mnemonic);
  if (known !== undefined) return known;
  const conditional = /^(J|SET|CMOV)(\w+)$/.exec(mnemonic);
  const condition = CONDITION[conditional?.[2] ?? ''];
  const name = conditional && condition ? `${conditional[1]}${condition}` : (ALIASES[mnemonic] ?? mnemonic);
  lower.set(mnemonic, name.toLowerCase());
  return name.toLowerCase();
}

/** The mnemonic as iced-x86 spells it. */
export function mnemonicText(i: Instruction): string {
  const row = i.encoding;
  const mnemonic = row?.mnemonic ?? '';
  const bySize = row?.prefix === 0xf2 ? undefined : BY_OPERAND_SIZE[mnemonic];
  if (bySize && mnemonic in BY_OPERAND_SIZE) return bySize[i.operandSize === 2 ? 0 : i.operandSize === 4 ? 1 : 2];
  if (mnemonic === 'JCXZ') return i.addressSize === 16 ? 'jcxz' : i.addressSize === 32 ? 'jecxz' : 'jrcxz';
  if (mnemonic === 'WBINVD' && i.repeat === 0xf3) return 'wbnoinvd';
  if (row?.semantics === 'CALL_FAR' && row.operands[0] === 'Mp') return 'callf';
  if (row?.semantics === 'JMP_FAR' && row.operands[0] === 'Mp') return 'jmpf';
  if (mnemonic === 'SHL' && row?.extension === 6) return 'sal';
  return plain(mnemonic);
}
