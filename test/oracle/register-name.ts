import type { Instruction } from '../../engine/cpu/decoder/instruction.js';

const LOW_BYTES = 'al cl dl bl spl bpl sil dil'.split(' ');
const HIGH_BYTES = 'ah ch dh bh'.split(' ');
const WORDS = 'ax cx dx bx sp bp si di'.split(' ');
export const SEGMENTS = 'es cs ss ds fs gs'.split(' ');

/** Name of a general register of `size` bytes. */
export function generalRegister(number: number, size: number, highByte = false): string {
  if (highByte) return HIGH_BYTES[number] ?? '';
  if (number >= 8) return `r${number}${size === 1 ? 'b' : size === 2 ? 'w' : size === 4 ? 'd' : ''}`;
  if (size === 1) return LOW_BYTES[number] ?? '';
  const word = WORDS[number] ?? '';
  return size === 2 ? word : size === 4 ? `e${word}` : `r${word}`;
}

/** The same register with another width; other text as it is. */
export function resized(name: string, size: 2 | 4): string {
  const numbered = /^r(\d+)[dwb]?$/.exec(name);
  if (numbered) return generalRegister(Number(numbered[1]), size);
  const number = WORDS.indexOf(name.replace(/^[er]/, ''));
  return number < 0 ? name : generalRegister(number, size);
}

/** Segment of the memory operand. */
export const segmentName = (i: Instruction): string => SEGMENTS[i.segment] ?? '';
