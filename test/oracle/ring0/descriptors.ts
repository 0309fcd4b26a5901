import { ARENA } from './layout.js';

/** Descriptors and gates as eight or sixteen bytes: APM volume 2, sections 4.7 and 4.8. */

export interface DescriptorFields {
  readonly base?: number;
  /** In units of G. */
  readonly limit?: number;
  /** P, DPL, S and type. */
  readonly access: number;
  /** G, D/B, L and AVL: the upper four bits of a byte. */
  readonly flags?: number;
}

export function descriptor({ base = 0, limit = 0xf_ffff, access, flags = 0 }: DescriptorFields): bigint {
  const [b, l] = [BigInt(base), BigInt(limit)];
  const low = (l & 0xffffn) | ((b & 0xff_ffffn) << 16n) | (BigInt(access) << 40n);
  return low | ((l >> 16n) << 48n) | (BigInt(flags & 0xf0) << 48n) | ((b >> 24n) << 56n);
}

export interface GateFields {
  readonly selector: number;
  readonly offset: number;
  /** P, DPL, type. */
  readonly access: number;
  /** Parameter count of a call gate, IST of an interrupt gate. */
  readonly extra?: number;
}

export function gate({ selector, offset, access, extra = 0 }: GateFields): bigint {
  const o = BigInt(offset);
  return (
    (o & 0xffffn) | (BigInt(selector) << 16n) | (BigInt(extra) << 32n) | (BigInt(access) << 40n) | ((o >> 16n) << 48n)
  );
}

/** Descriptors that every case has, by selector. */
export const FIXED = {
  code32: descriptor({ access: 0x9b, flags: 0xc0 }),
  data: descriptor({ access: 0x93, flags: 0xc0 }),
  code64: descriptor({ access: 0x9b, flags: 0xa0 }),
  /** For handlers, which lie below the arena; the other 16-bit segments are the arena. */
  code16: descriptor({ limit: 0xffff, access: 0x9b }),
  data16: descriptor({ base: ARENA, limit: 0xffff, access: 0x93 }),
  userCode32: descriptor({ access: 0xfb, flags: 0xc0 }),
  userData: descriptor({ access: 0xf3, flags: 0xc0 }),
  userCode64: descriptor({ access: 0xfb, flags: 0xa0 }),
  userCode16: descriptor({ base: ARENA, limit: 0xffff, access: 0xfb }),
  arenaCode16: descriptor({ base: ARENA, limit: 0xffff, access: 0x9b }),
  userData16: descriptor({ base: ARENA, limit: 0xffff, access: 0xf3 }),
  code32Ring1: descriptor({ access: 0xbb, flags: 0xc0 }),
  dataRing1: descriptor({ access: 0xb3, flags: 0xc0 }),
} as const;
