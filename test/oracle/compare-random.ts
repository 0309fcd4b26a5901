import type { CodeSize } from '../../engine/cpu/decoder/instruction.js';
import type { Encoding } from '../../engine/cpu/encodings/encoding.js';
import { ENCODINGS, hasModRm } from '../../engine/cpu/encodings/table.js';
import { compareAt, createTally, decoderPair, type Tally } from './compare-decoders.js';
import { Random } from './random.js';

const LENGTH = 15;
/** Distance of the strings in a buffer. */
const PITCH = 16;
const BATCH = 4096;
/** Near a limit of the mode, so that branches and RIP-relative addresses wrap. */
const IP: Readonly<Record<CodeSize, bigint>> = { 16: 0xfff0n, 32: 0xffff_fff0n, 64: 0xffff_ffff_ffff_ff00n };

/** Opcodes after 0F where ModRM is part of the opcode. */
const GROUPS = [0x00, 0x01, 0x01, 0x71, 0x72, 0x73, 0xae, 0xba, 0xc7];

/** Bytes that reach all maps: most random bytes alone would rarely follow 0F 38. */
function randomBytes(random: Random, out: Uint8Array, at: number): void {
  for (let n = 0; n < LENGTH; n++) out[at + n] = random.u32() >>> 8;
  const prefix = random.pick([0x66, 0xf2, 0xf3, 0x48, 0x41, 0x67, 0xf0]);
  switch (random.below(8)) {
    case 0:
      out[at] = 0x0f;
      break;
    case 1:
      out.set([prefix, 0x0f], at);
      break;
    case 2:
      out.set([prefix, 0x0f, random.pick([0x38, 0x3a])], at);
      break;
    case 3:
      out[at] = prefix;
      break;
    case 4:
      out[at] = 0xd8 + random.below(8);
      break;
    case 5:
      out.set([prefix, 0xd8 + random.below(8)], at);
      break;
    case 6:
      out.set([random.pick([0x66, 0xf2, 0xf3, 0x3e, 0x48]), 0x0f, random.pick(GROUPS)], at);
      break;
  }
}

/** Bytes that begin as the row does. */
function rowBytes(random: Random, row: Encoding, out: Uint8Array, at: number): void {
  const prefixes = random.chance(3) ? [random.pick([0x66, 0x67, 0x2e, 0x65, 0xf0, 0xf2, 0xf3])] : [];
  if (typeof row.prefix === 'number' && row.prefix !== 0) prefixes.push(row.prefix);
  if (row.modes !== 'legacy' && random.chance(2)) prefixes.push(0x40 | random.below(16));
  const reg = row.extension ?? random.below(8);
  const mod = row.mod === 'register' ? 3 : row.mod === 'memory' ? random.below(3) : random.below(4);
  const modrm = (mod << 6) | (reg << 3) | (row.rm ?? random.below(8));
  const map = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][row.map] ?? [];
  const opcode = row.registerInOpcode ? row.opcode + random.below(8) : row.opcode;
  for (let n = 0; n < LENGTH; n++) out[at + n] = random.u32() >>> 8;
  out.set([...prefixes, ...map, opcode, ...(hasModRm(row) ? [modrm] : [])], at);
}

function compareBuffer(buffer: Uint8Array, count: number, codeSizes: readonly CodeSize[], tally: Tally): void {
  for (const codeSize of codeSizes) {
    const pair = decoderPair(buffer, codeSize);
    for (let n = 0; n < count; n++) compareAt(pair, n * PITCH, IP[codeSize], tally);
    pair.iced.free();
  }
}

/** Compares the decoders on `count` strings for each row of the table, in all code sizes. */
export function compareRows(seed: number, count: number): Tally {
  const random = new Random(seed);
  const tally = createTally();
  const buffer = new Uint8Array(count * PITCH);
  for (const row of ENCODINGS) {
    for (let n = 0; n < count; n++) rowBytes(random, row, buffer, n * PITCH);
    compareBuffer(buffer, count, [64, 32, 16], tally);
  }
  return tally;
}

/** Compares the decoders on `cases` random strings of fifteen bytes, each in all code sizes given. */
export function compareRandom(seed: number, cases: number, codeSizes: readonly CodeSize[]): Tally {
  const random = new Random(seed);
  const tally = createTally();
  const buffer = new Uint8Array(BATCH * PITCH);
  for (let done = 0; done < cases; done += BATCH) {
    const here = Math.min(BATCH, cases - done);
    for (let n = 0; n < here; n++) randomBytes(random, buffer, n * PITCH);
    compareBuffer(buffer, here, codeSizes, tally);
  }
  return tally;
}
