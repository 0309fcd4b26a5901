/**
 * One row of the table of encodings: everything that decoder, block builder, tests and coverage report know about
 * an instruction form, except what it does. Opcode maps and operand letters follow AMD64 Architecture
 * Programmer's Manual volume 3, appendix A.
 */

/**
 * Operand kinds in the notation of APM volume 3 appendix A.1: the capital says where the operand is, the small
 * letter how wide it is (b 8, w 16, d 32, q 64, o 128 bits, v operand size, z operand size but at most 32,
 * y 32 or 64).
 */
export type OperandKind =
  // ModRM.rm as general register or memory; ModRM.reg; memory only; register only; low opcode bits
  | `E${'b' | 'w' | 'd' | 'q' | 'v' | 'y'}`
  | `G${'b' | 'w' | 'd' | 'q' | 'v' | 'y'}`
  | `M${'' | 'b' | 'w' | 'd' | 'q' | 'o' | 'v' | 'y' | 'p' | 's'}`
  | `R${'d' | 'q' | 'v' | 'y'}`
  | `Z${'b' | 'v'}`
  // register ModRM.rm, or memory of the smaller width: MOV Ev/Mw,Sw; PEXTRB Ed/Mb
  | 'EvMw'
  | 'EdMb'
  | 'EdMw'
  // fixed registers
  | 'AL'
  | 'AX'
  | 'CL'
  | 'DX'
  | 'rAX'
  | 'eAX'
  // immediates: Ibs sign-extended to operand size, Ic masked shift count, Iv up to 64 bits, 1 the constant
  | 'Ib'
  | 'Ibs'
  | 'Ic'
  | 'Iw'
  | 'Iz'
  | 'Iv'
  | '1'
  // relative branches, far pointer, absolute address
  | 'Jb'
  | 'Jz'
  | 'Ap'
  | 'Ob'
  | 'Ov'
  // segment, control and debug registers; fixed segment registers
  | 'Sw'
  | 'Cy'
  | 'Dy'
  | 'ES'
  | 'CS'
  | 'SS'
  | 'DS'
  | 'FS'
  | 'GS'
  // vector registers: ModRM.reg, ModRM.rm or memory, register ModRM.rm; MMX registers likewise
  | `V${'d' | 'q' | 'o'}`
  | `W${'w' | 'd' | 'q' | 'o'}`
  | `U${'d' | 'q' | 'o'}`
  | 'XMM0'
  | 'Pq'
  | 'Qq'
  | 'Qd'
  | 'Nq';

/** Status flags by their letters: O S Z A P C, and D I for the direction and interrupt flags. */
export type FlagLetters = string;

export interface FlagEffect {
  readonly reads: FlagLetters;
  /** Written with a defined value. */
  readonly writes: FlagLetters;
  /** Left with a value that the manual does not define. */
  readonly undefined: FlagLetters;
}

/** Opcode map: 0 one-byte, 1 after 0F, 2 after 0F 38, 3 after 0F 3A. */
export type OpcodeMap = 0 | 1 | 2 | 3;

/**
 * Which prefix selects this row: 0 is "none of 66, F2, F3", `NFx` "neither F2 nor F3". Undefined: they keep their
 * ordinary meaning or have none.
 */
export type MandatoryPrefix = 0 | 0x66 | 0xf2 | 0xf3 | 'NFx';

export type ModeSet = 'all' | 'legacy' | 'long';

/**
 * Operand size in 64-bit mode, where it is not 32 by default: `default64` can be made 16 by a 66 prefix (for near
 * branches too, as AMD has it), `always64` cannot be changed, `atMost32` is 32 with REX.W. In every mode `byte` is 8,
 * and `native` 32 or, in 64-bit mode, 64.
 */
export type SizeRule = 'normal' | 'default64' | 'always64' | 'atMost32' | 'native' | 'byte';

/** What a 0xF2 or 0xF3 prefix means: nothing, repeat, repeat while (not) equal. */
export type RepeatRule = 'none' | 'rep' | 'repe';

export interface Encoding {
  /** Position in the table; stable within one build only. */
  readonly id: number;
  readonly mnemonic: string;
  /** The definition in engine/cpu/semantics or engine/cpu/system that executes it: mnemonic without condition. */
  readonly semantics: string;
  readonly map: OpcodeMap;
  /** Last opcode byte; with `register` set, its low three bits select a register. */
  readonly opcode: number;
  readonly registerInOpcode: boolean;
  readonly prefix: MandatoryPrefix | undefined;
  /** ModRM.reg as opcode extension (/0 to /7). */
  readonly extension: number | undefined;
  /** ModRM.mod: register form only, memory form only. */
  readonly mod: 'register' | 'memory' | undefined;
  /** ModRM.rm as opcode extension, for 0F 01 and its like. */
  readonly rm: number | undefined;
  readonly operands: readonly OperandKind[];
  readonly modes: ModeSet;
  readonly size: SizeRule;
  readonly repeat: RepeatRule;
  /** LOCK is allowed when the destination is memory. */
  readonly lockable: boolean;
  readonly flags: FlagEffect;
  /** Ends a block: a branch, or a rare instruction that may change what comes next. */
  readonly ends: boolean;
  /** May only be executed at CPL 0. */
  readonly privileged: boolean;
  readonly text: string;
}

export interface EncodingOptions {
  readonly semantics?: string;
  readonly modes?: ModeSet;
  readonly size?: SizeRule;
  readonly repeat?: RepeatRule;
  readonly lock?: boolean;
  readonly reads?: FlagLetters;
  readonly writes?: FlagLetters;
  readonly undefined?: FlagLetters;
  readonly ends?: boolean;
  readonly privileged?: boolean;
}

/** A row before it has its place in the table. */
export type EncodingRow = Omit<Encoding, 'id'>;

/**
 * Makes a row. The opcode is written as in the manual: optional mandatory prefix (`NP`, `NFx`, `66`, `F2`, `F3`), map
 * bytes and opcode in hex, `+r` for a register in the opcode, `/0` to `/7`, `/reg` or `/mem` for the form of
 * ModRM and `/3:1` for an extension in both reg and rm.
 */
export function row(
  text: string,
  mnemonic: string,
  operands: readonly OperandKind[] = [],
  options: EncodingOptions = {},
): EncodingRow {
  const words = text.split(' ');
  const accept = (word: string): boolean => words.length > 1 && words[0] === word && words.shift() !== undefined;
  let prefix: MandatoryPrefix | undefined;
  if (accept('NP')) prefix = 0;
  else if (accept('NFx')) prefix = 'NFx';
  else if (/^(66|F2|F3)$/.test(words[0] ?? '') && /^(0F|90)$/.test(words[1] ?? '')) {
    prefix = Number.parseInt(words.shift() ?? '', 16) as MandatoryPrefix;
  }
  let map: OpcodeMap = 0;
  if (accept('0F')) map = accept('38') ? 2 : accept('3A') ? 3 : 1;
  const opcodeText = words.shift() ?? '';
  let extension: number | undefined;
  let mod: Encoding['mod'];
  let rm: number | undefined;
  for (const word of words) {
    const both = /^\/(\d):(\d)$/.exec(word);
    if (both) {
      extension = Number(both[1]);
      rm = Number(both[2]);
      mod = 'register';
    } else if (/^\/\d$/.test(word)) extension = Number(word[1]);
    else if (word === '/reg') mod = 'register';
    else if (word === '/mem') mod = 'memory';
    else throw new Error(`encoding "${text}": what is "${word}"?`);
  }
  // MOV to and from CRn and DRn ignores ModRM.mod.
  if (operands.some((o) => /^[RUN]/.test(o)) && !operands.some((o) => /^[CD]y/.test(o))) mod = 'register';
  if (operands.some((o) => /^M/.test(o))) mod = 'memory';
  return {
    mnemonic,
    semantics: options.semantics ?? mnemonic,
    map,
    opcode: Number.parseInt(opcodeText, 16),
    registerInOpcode: opcodeText.endsWith('+r'),
    prefix,
    extension,
    mod,
    rm,
    operands,
    modes: options.modes ?? 'all',
    size: options.size ?? 'normal',
    repeat: options.repeat ?? 'none',
    lockable: options.lock ?? false,
    flags: { reads: options.reads ?? '', writes: options.writes ?? '', undefined: options.undefined ?? '' },
    ends: options.ends ?? false,
    privileged: options.privileged ?? false,
    text: `${text} ${mnemonic} ${operands.join(',')}`.trim(),
  };
}

/** Condition codes in the order of their numbers, as AMD spells them. */
export const CONDITIONS = 'O NO B NB Z NZ BE NBE S NS P NP L NL LE NLE'.split(' ');

/** Flags that each condition reads, by its number divided by two. */
export const CONDITION_FLAGS = ['O', 'C', 'Z', 'CZ', 'S', 'P', 'SO', 'ZSO'];

/** The same opcode sixteen times, once for each condition. */
export function forEachCondition(
  firstOpcode: number,
  make: (opcode: string, condition: string, reads: FlagLetters) => EncodingRow,
): EncodingRow[] {
  return CONDITIONS.map((condition, code) =>
    make((firstOpcode + code).toString(16).padStart(2, '0'), condition, CONDITION_FLAGS[code >> 1] ?? ''),
  );
}
