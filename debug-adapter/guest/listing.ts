import { type DecodedInstruction, decodeInstructions, MAX_INSTRUCTION } from './disassembler.js';
import { type AddressSpace, readSpace } from './guest-memory.js';
import type { CodeBits } from './vcpu-image.js';

/** A line of a disassembly. */
export interface ListedInstruction {
  /** Linear address. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly text: string;
  readonly valid: boolean;
}

/** How code is decoded: its width, and what is added to RIP for a linear address. */
export interface CodeView {
  readonly space: AddressSpace;
  readonly bits: CodeBits;
  readonly base: bigint;
}

/** More is not asked for by any client; a request may say anything. */
const MAX_INSTRUCTIONS = 4096;

/** Exactly `count` lines: instruction number `offset` from the one at `address`, and those after it. */
export function listInstructions(
  code: CodeView,
  address: bigint,
  offset: number,
  count: number,
): readonly ListedInstruction[] {
  const wanted = Math.min(Math.max(0, count), MAX_INSTRUCTIONS);
  const before = Math.min(Math.max(0, -offset), MAX_INSTRUCTIONS);
  const skipped = Math.min(Math.max(0, offset), MAX_INSTRUCTIONS);
  const earlier = before > 0 ? listBackward(code, address, before) : [];
  const later = wanted > before ? listForward(code, address, skipped + wanted - before) : [];
  return offset < 0 ? [...earlier, ...later].slice(0, wanted) : later.slice(skipped, skipped + wanted);
}

function listForward(code: CodeView, start: bigint, count: number): readonly ListedInstruction[] {
  const lines: ListedInstruction[] = [];
  let address = start;
  while (lines.length < count && address < code.space.size) {
    const bytes = readSpace(code.space, address, Math.max(64, (count - lines.length) * 5 + MAX_INSTRUCTION));
    if (bytes.length === 0) {
      lines.push(unreadable(address));
      address += 1n;
      continue;
    }
    // The last ones may be cut off where this piece ends, unless it ends with the memory.
    const isCut = readSpace(code.space, address + BigInt(bytes.length), 1).length > 0;
    const certain = isCut ? bytes.length - MAX_INSTRUCTION : bytes.length;
    let at = 0;
    for (const decoded of decodeInstructions(bytes, code.bits, address - code.base)) {
      if (lines.length === count || at > certain) break;
      lines.push(line(address + BigInt(at), bytes.subarray(at, at + decoded.length), decoded));
      at += decoded.length;
    }
    address += BigInt(at);
  }
  while (lines.length < count) lines.push(unreadable(address++));
  return lines;
}

/**
 * The instructions before `end`. Their starts cannot be known; but decoding from almost anywhere soon falls into
 * step. Of several places to start, the one counts whose chain of instructions ends at `end` with the fewest that
 * are none; of equal ones the farthest.
 */
function listBackward(code: CodeView, end: bigint, count: number): readonly ListedInstruction[] {
  const room = BigInt(count * 6 + 4 * MAX_INSTRUCTION);
  const from = end > room ? end - room : 0n;
  const { start, bytes } = readableBefore(code.space, from, end);
  let best: readonly ListedInstruction[] = [];
  let bestScore = Number.POSITIVE_INFINITY;
  const tries = Math.min(2 * MAX_INSTRUCTION, bytes.length);
  for (let skip = 0; skip < tries; skip++) {
    const chain = chainTo(code, start + BigInt(skip), bytes.subarray(skip));
    if (!chain) continue;
    const shown = chain.slice(-count);
    const score = shown.filter((l) => !l.valid).length + Math.max(0, count - shown.length);
    if (score < bestScore) {
      best = shown;
      bestScore = score;
    }
  }
  const missing = count - best.length;
  const first = best[0]?.address ?? end;
  const padding = Array.from({ length: missing }, (_, n) => unreadable(first - BigInt(missing - n)));
  return [...padding, ...best];
}

/** All instructions of the bytes if the last one ends where they end. */
function chainTo(code: CodeView, start: bigint, bytes: Uint8Array): readonly ListedInstruction[] | undefined {
  const lines: ListedInstruction[] = [];
  let at = 0;
  for (const decoded of decodeInstructions(bytes, code.bits, start - code.base)) {
    lines.push(line(start + BigInt(at), bytes.subarray(at, at + decoded.length), decoded));
    at += decoded.length;
  }
  const last = lines.at(-1);
  return at === bytes.length && last?.valid ? lines : undefined;
}

/** The readable bytes that end at `end`. */
function readableBefore(space: AddressSpace, from: bigint, end: bigint): { start: bigint; bytes: Uint8Array } {
  for (let start = from; start < end; start = (start | 0xfffn) + 1n) {
    const bytes = readSpace(space, start, Number(end - start));
    if (bytes.length === Number(end - start)) return { start, bytes };
  }
  return { start: end, bytes: new Uint8Array() };
}

function line(address: bigint, bytes: Uint8Array, { text, valid }: DecodedInstruction): ListedInstruction {
  return { address, bytes, text, valid };
}

/** An address below 0 cannot be told: it stands for "nothing there". */
function unreadable(address: bigint): ListedInstruction {
  return { address: address < 0n ? -1n : address, bytes: new Uint8Array(), text: '??', valid: false };
}
