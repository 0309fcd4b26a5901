import { type CodeSize, type Instruction, OperandPlace, Segment } from '../decoder/instruction.js';
import type { FlagType } from '../semantics/flags.js';

/**
 * What a handler of the interpreter treats as constant. Two instructions with the same form share a handler;
 * all else about them is in their records.
 */
export interface Form {
  readonly semantics: string;
  readonly codeSize: CodeSize;
  /** Bytes. */
  readonly operandSize: number;
  readonly operands: readonly { readonly place: OperandPlace; readonly size: number }[];
  /** Bits. */
  readonly addressSize: CodeSize;
  readonly stackSize: CodeSize;
  readonly hasIndex: boolean;
  /** The memory operand's segment has base 0 and no limit: 64-bit mode without FS and GS. */
  readonly flatSegment: boolean;
  /** 0, 0xF2 or 0xF3 where the prefix means something. */
  readonly repeat: number;
  /** The immediate is zero; told apart for shifts only. */
  readonly zeroCount: boolean;
  /** Condition number; -1 where the handler reads it from the record. */
  readonly condition: number;
  /** The immediate, where the operation is another for each; -1 elsewhere. */
  readonly selector: number;
  readonly liveFlags: boolean;
  /** Type of the flags before the instruction, if the block says so. */
  readonly knownFlags: FlagType | undefined;
  readonly key: string;
}

const CONDITIONAL = /^(Jcc|SETcc|CMOVcc)$/;
const SHIFT = /^(ROL|ROR|RCL|RCR|SHL|SHR|SAR|SHLD|SHRD)$/;
/** Shuffles and their like need their immediate when the code is made. */
const SELECTED =
  /^(PSHUF|SHUFP|PALIGNR|P?BLEND|PINSR|PEXTR|EXTRACTPS|INSERTPS|PS..?DQ_IMM|CMP[PS][SD]|ROUND|MPSADBW|DPP)/;

/** Semantics that use the stack through SS. */
const STACK = /^(PUSH|POP|CALL|RET|ENTER|LEAVE|PUSHF|POPF)/;
/** Semantics that address memory without ModRM. */
const STRING = /^(MOVS|STOS|LODS|SCAS|CMPS|XLAT|LOOP|LOOPZ|LOOPNZ|JCXZ|MASKMOVDQU)$/;

export interface FlagKnowledge {
  readonly live: boolean;
  readonly known: FlagType | undefined;
}

/** Parts of a form that do not depend on flags, as one text. */
export function staticKey(i: Instruction, stackSize: CodeSize): string {
  const row = i.encoding;
  if (!row) throw new Error('form of nothing');
  const { semantics } = row;
  let key = `${semantics} ${i.operandSize}`;
  for (const { place, size } of i.operands) {
    if (place !== OperandPlace.none) key += `,${place}.${size}`;
  }
  if (usesMemory(i)) {
    key += ` a${i.addressSize}${i.index >= 0 ? 'x' : ''}${isFlat(i) ? '' : i.codeSize === 64 ? 's' : 'l'}`;
  }
  if (STACK.test(semantics)) key += ` k${stackSize}.${i.codeSize === 64 ? 64 : 32}`;
  if (i.repeat !== 0 && row.repeat !== 'none') key += ` r${i.repeat}`;
  if (SHIFT.test(semantics) && i.immediate === 0) key += ' z';
  if (SELECTED.test(semantics)) key += ` i${i.immediate}`;
  return key;
}

interface RowTraits {
  readonly shift: boolean;
  readonly selected: boolean;
}
const rowTraits: RowTraits[] = [];

/**
 * A number for everything that `staticKey` looks at, among instructions of one encoding: where the number is the same,
 * so is the key. Operands follow from the encoding, the operand size and ModRM.mod.
 */
export function staticNumber(i: Instruction, stackSize: CodeSize): number {
  const row = i.encoding;
  if (!row) throw new Error('form of nothing');
  let traits = rowTraits[row.id];
  if (!traits) {
    traits = { shift: SHIFT.test(row.semantics), selected: SELECTED.test(row.semantics) };
    rowTraits[row.id] = traits;
  }
  const sizes =
    (31 - Math.clz32(i.operandSize)) | ((i.addressSize >> 5) << 2) | ((i.codeSize >> 5) << 4) | ((stackSize >> 5) << 6);
  const isRegister = i.modrm >= 0xc0 ? 0x100 : 0;
  const hasIndex = i.index >= 0 ? 0x200 : 0;
  const flat = isFlat(i) ? 0x400 : 0;
  const repeat = i.repeat === 0 ? 0 : i.repeat === 0xf2 ? 0x800 : 0x1000;
  const zero = traits.shift && i.immediate === 0 ? 0x2000 : 0;
  const selector = traits.selected ? (i.immediate & 0xff) << 14 : 0;
  return sizes | isRegister | hasIndex | flat | repeat | zero | selector;
}

function usesMemory(i: Instruction): boolean {
  return i.operands.some((o) => o.place === OperandPlace.memory) || STRING.test(i.encoding?.semantics ?? '');
}

function isFlat(i: Instruction): boolean {
  return i.codeSize === 64 && i.segment !== Segment.FS && i.segment !== Segment.GS;
}

export function makeForm(
  i: Instruction,
  stackSize: CodeSize,
  flags: FlagKnowledge,
  key = staticKey(i, stackSize),
): Form {
  const semantics = i.encoding?.semantics ?? '';
  const conditional = CONDITIONAL.test(semantics);
  return {
    semantics,
    codeSize: i.codeSize,
    operandSize: i.operandSize,
    operands: i.operands.map(({ place, size }) => ({ place, size })),
    addressSize: i.addressSize,
    stackSize,
    hasIndex: i.index >= 0,
    flatSegment: isFlat(i),
    repeat: i.encoding?.repeat === 'none' ? 0 : i.repeat,
    zeroCount: SHIFT.test(semantics) && i.immediate === 0,
    condition: conditional && flags.known !== undefined ? i.opcode & 15 : -1,
    selector: SELECTED.test(semantics) ? i.immediate : -1,
    liveFlags: flags.live,
    knownFlags: flags.known,
    key: formKey(key, conditional ? i.opcode & 15 : -1, flags),
  };
}

/** The whole key, made without the form: block building asks for it once per instruction. */
export function formKey(key: string, condition: number, { live, known }: FlagKnowledge): string {
  return `${key}${live ? ' L' : ''}${known === undefined ? '' : ` f${known}${condition >= 0 ? `c${condition}` : ''}`}`;
}
