import { toHex } from '../../engine/bytes.js';
import { decode } from '../../engine/cpu/decoder/decode.js';
import { type CodeSize, createInstruction, type Instruction } from '../../engine/cpu/decoder/instruction.js';
import { DIFFERENCES, UNKNOWN_TO_ICED } from './decoder-differences.js';
import { hiddenDifference } from './hidden-sizes.js';
import { IcedDecoder } from './iced.js';
import { instructionText } from './instruction-text.js';

/** The engine's decoder and iced-x86 over the same bytes. */

const MAX_LENGTH = 15;
const MAX_WRONG = 20;

export interface Tally {
  /** Places at which both decoded. */
  places: number;
  instructions: number;
  /** Both say that it is none. */
  invalid: number;
  /** VEX, EVEX and XOP encodings: the engine has none. */
  vectorExtensions: number;
  /** Instructions of other makers by the extension that iced names; #UD for the engine. */
  readonly otherMakers: Map<string, number>;
  /** How often each reason of DIFFERENCES made texts equal. */
  readonly differences: Map<string, number>;
  /** Rows of the table that occurred. */
  readonly rows: Set<number>;
  disagreements: number;
  /** The first disagreements in words. */
  readonly wrong: string[];
}

export function createTally(): Tally {
  const counts = { places: 0, instructions: 0, invalid: 0, vectorExtensions: 0, disagreements: 0 };
  return { ...counts, otherMakers: new Map(), differences: new Map(), rows: new Set(), wrong: [] };
}

export interface DecoderPair {
  readonly bytes: Uint8Array;
  readonly codeSize: CodeSize;
  readonly ours: Instruction;
  readonly iced: IcedDecoder;
}

/** `free` the iced side at the end. */
export function decoderPair(bytes: Uint8Array, codeSize: CodeSize): DecoderPair {
  return { bytes, codeSize, ours: createInstruction(), iced: new IcedDecoder(bytes, codeSize) };
}

const count = (map: Map<string, number>, key: string): unknown => map.set(key, (map.get(key) ?? 0) + 1);

function textDifference({ ours, iced }: DecoderPair, ip: bigint, tally: Tally): string | undefined {
  const texts = { ours: instructionText(ours, ip), iced: iced.text };
  if (texts.ours === texts.iced) return undefined;
  const rewritten = { ...texts };
  for (const difference of DIFFERENCES) {
    if (!difference.applies(ours, iced)) continue;
    const before = { ...rewritten };
    rewritten.iced = difference.iced?.(rewritten.iced, ours) ?? rewritten.iced;
    rewritten.ours = difference.ours?.(rewritten.ours, ours) ?? rewritten.ours;
    if (before.iced !== rewritten.iced || before.ours !== rewritten.ours) count(tally.differences, difference.reason);
    if (rewritten.iced === rewritten.ours) return undefined;
  }
  return `"${texts.ours}", iced has "${texts.iced}"`;
}

/** One byte less must be wanted back. */
function shortened({ bytes, codeSize, ours }: DecoderPair, at: number): string | undefined {
  const { length } = ours;
  const status = decode(bytes, at, at + length - 1, codeSize, ours);
  return status === 'incomplete'
    ? undefined
    : `${length} bytes are an instruction, without the last they are ${status}`;
}

function disagreement(pair: DecoderPair, at: number, ip: bigint, tally: Tally): string | undefined {
  const { bytes, codeSize, ours, iced } = pair;
  const status = decode(bytes, at, Math.min(bytes.length, at + MAX_LENGTH), codeSize, ours);
  const valid = iced.decode(at, ip);
  const row = ours.encoding;
  switch (status) {
    case 'ok':
      break;
    case 'unknown':
      tally.vectorExtensions++;
      return valid && !iced.isVectorExtension ? `unknown, iced has "${iced.text}"` : undefined;
    case 'invalid':
    case 'tooLong':
    case 'incomplete': {
      if (!valid) tally.invalid++;
      const maker = valid && status === 'invalid' ? iced.otherMaker : undefined;
      if (maker !== undefined) count(tally.otherMakers, maker);
      return valid && maker === undefined ? `${status}, iced has "${iced.text}"` : undefined;
    }
  }
  tally.instructions++;
  tally.rows.add(row?.id ?? -1);
  if (!valid) return UNKNOWN_TO_ICED.has(row?.mnemonic ?? '') ? undefined : `${row?.text}, iced has no instruction`;
  if (iced.length !== ours.length) return `${row?.text} has ${ours.length} bytes, iced has ${iced.length}`;
  return textDifference(pair, ip, tally) ?? hiddenDifference(ours, iced) ?? shortened(pair, at);
}

/** Compares at one place and returns the instruction's length; 1 where there is none. */
export function compareAt(pair: DecoderPair, at: number, ip: bigint, tally: Tally): number {
  tally.places++;
  const found = disagreement(pair, at, ip, tally);
  const bytes = pair.bytes.subarray(at, at + MAX_LENGTH);
  if (found !== undefined) {
    tally.disagreements++;
    if (tally.wrong.length < MAX_WRONG) tally.wrong.push(`${pair.codeSize}-bit ${toHex(bytes)}: ${found}`);
  }
  return Math.max(1, pair.iced.length);
}
