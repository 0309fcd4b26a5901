import type { Random } from '../../random.js';
import { type Draft, littleEndian } from '../draft.js';

/** Instructions as bytes for the draft's code size. */

export const [AX, CX, DX, BX, SP, BP, SI, DI] = [0, 1, 2, 3, 4, 5, 6, 7];

/** Bytes of an address or an ordinary operand. */
export const wordBytes = (d: Draft): 2 | 4 | 8 => (d.bits === 16 ? 2 : d.bits === 32 ? 4 : 8);

/** MOV register, immediate of the full width. */
export function load(d: Draft, register: number, value: bigint): number[] {
  return [...(d.bits === 64 ? [0x48] : []), 0xb8 + register, ...littleEndian(value, wordBytes(d))];
}

/** ModRM of [BX], [EBX], [RBX] with a register. */
export const atBx = (d: Draft, reg: number): number => (reg << 3) | (d.bits === 16 ? 7 : 3);

export const registerForm = (reg: number, rm: number): number => 0xc0 | (reg << 3) | rm;

/** Prefix of a segment register by its number. */
export const OVERRIDE = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65] as const;

/** Reads or writes [BX] in some width, with these prefixes. */
export function access(random: Random, d: Draft, prefixes: readonly number[] = []): number[] {
  const wide = d.bits === 64 && random.chance(3) ? [0x48] : random.chance(4) ? [0x66] : [];
  const [size, rex] = wide[0] === 0x66 ? [[0x66], []] : [[], wide];
  const rm = atBx(d, DX);
  const pick = random.pick([
    [0x8b, rm],
    [0x8b, rm],
    [0x8a, rm],
    [0x89, rm],
    [0x89, rm],
    [0x88, rm],
    [0x01, rm],
    [0x87, rm],
    [0x3b, rm],
    [0x0f, 0xb0, rm],
    [0xff, atBx(d, 0)],
    [0xff, atBx(d, 6)],
    [0x8f, atBx(d, 0)],
  ]);
  return [...prefixes, ...size, ...rex, ...pick];
}
