import { CpuidFeature, Decoder, DecoderOptions, type Instruction, Mnemonic, OpKind, Register } from 'iced-x86';
import type { CodeSize } from '../../engine/cpu/decoder/instruction.js';

/** What iced-x86, as a decoder for AMD processors, says of the bytes. */
export interface IcedInstruction {
  readonly valid: boolean;
  readonly length: number;
  readonly mnemonic: string;
  /** An instruction of an extension that the table of encodings covers in full. */
  readonly claimed: boolean;
}

/** Extensions of which every instruction must be in the table; those on MMX registers excepted. */
const CLAIMED = new Set(
  `INTEL8086 INTEL8086_ONLY INTEL186 INTEL286 INTEL386 INTEL486 X64 CMOV CPUID CX8 CMPXCHG16B MSR TSC RDPMC RDTSCP
  SYSCALL SEP POPCNT LZCNT BMI1 MOVBE ADX FXSR SSE SSE2 SSE3 SSSE3 SSE4_1 SSE4_2 RDRAND RDSEED SMAP SVM SEV_ES SEV_SNP
  CLFSH CLFLUSHOPT CLWB FSGSBASE RDPID INVPCID MONITOR PAUSE MULTIBYTENOP`.split(/\s+/),
);
/** Of a claimed extension, but with an MMX register in memory form, for other makers' processors or undocumented. */
const NOT_FOR_US = new Set(['CVTPI2PS', 'CVTPI2PD', 'SALC', 'UMOV']);

function isClaimed(instruction: Instruction, mnemonic: string): boolean {
  for (let n = 0; n < instruction.opCount; n++) {
    if (instruction.opKind(n) !== OpKind.Register) continue;
    const register = instruction.opRegister(n);
    if (register >= Register.MM0 && register <= Register.MM7) return false;
  }
  const features = Array.from(instruction.cpuidFeatures(), (f) => CpuidFeature[f] ?? '');
  return !NOT_FOR_US.has(mnemonic) && features.every((f) => CLAIMED.has(f));
}

export function icedDecode(bytes: Uint8Array, codeSize: CodeSize): IcedInstruction {
  const decoder = new Decoder(codeSize, bytes, DecoderOptions.AMD);
  const instruction = decoder.decode();
  const mnemonic = (Mnemonic[instruction.mnemonic] ?? '').toUpperCase();
  const valid = !instruction.isInvalid;
  const result = { valid, length: instruction.length, mnemonic, claimed: valid && isClaimed(instruction, mnemonic) };
  instruction.free();
  decoder.free();
  return result;
}

/** Intel's spelling of a condition, as iced has it. */
const CONDITION: Readonly<Record<string, string>> = {
  NB: 'AE',
  Z: 'E',
  NZ: 'NE',
  NBE: 'A',
  NL: 'GE',
  NLE: 'G',
};

/** Rows whose iced name depends on operand or address size, or is another word for the same. */
const SPELLING: Readonly<Record<string, readonly string[]>> = {
  CBW: ['CBW', 'CWDE', 'CDQE'],
  CWD: ['CWD', 'CDQ', 'CQO'],
  JCXZ: ['JCXZ', 'JECXZ', 'JRCXZ'],
  LOOPZ: ['LOOPE'],
  LOOPNZ: ['LOOPNE'],
  SHL: ['SHL', 'SAL'],
  FWAIT: ['WAIT'],
  XLAT: ['XLATB'],
  CMPXCHG8B: ['CMPXCHG8B', 'CMPXCHG16B'],
  NOP: ['NOP', 'RESERVEDNOP', 'PREFETCHT0', 'PREFETCHT1', 'PREFETCHT2', 'PREFETCHNTA', 'PREFETCHIT0', 'PREFETCHIT1'],
  PREFETCH: ['PREFETCH', 'PREFETCHW', 'PREFETCHWT1', 'RESERVEDNOP'],
  WBINVD: ['WBINVD', 'WBNOINVD'],
  MOVSXD: ['MOVSXD'],
  PINSRD: ['PINSRD', 'PINSRQ'],
  PEXTRD: ['PEXTRD', 'PEXTRQ'],
  MOVD: ['MOVD', 'MOVQ'],
};
const NOP_HINTS = ['ENDBR32', 'ENDBR64', 'RDSSPD', 'RDSSPQ', 'CLDEMOTE'];

/** Does iced's name mean the row that our table calls `ours`? */
export function sameMnemonic(ours: string, iced: string): boolean {
  if (ours === iced || ours === 'ESC') return true;
  const conditional = /^(J|SET|CMOV)(\w+)$/.exec(ours);
  if (conditional && iced === `${conditional[1]}${CONDITION[conditional[2] ?? ''] ?? conditional[2]}`) return true;
  if (SPELLING[ours]?.includes(iced)) return true;
  // F3 REX.B 90 exchanges registers: tried on Zen 5. iced calls it PAUSE.
  if (ours === 'XCHG' && iced === 'PAUSE') return true;
  if (ours === 'NOP' && NOP_HINTS.includes(iced)) return true;
  // Operand size as a letter: PUSHF PUSHFQ, MOVS MOVSD, FXSAVE FXSAVE64.
  return iced.startsWith(ours) && /^(W|D|Q|64)$/.test(iced.slice(ours.length));
}
