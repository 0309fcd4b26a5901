import type { Random } from '../../random.js';
import { descriptor, gate } from '../descriptors.js';
import { CODE_AT, type Draft, isLong, patchValue } from '../draft.js';
import { ARENA, GDT_ENTRIES, LDT_ENTRIES, PLACE, SELECTOR } from '../layout.js';

/** Random descriptors, valid and not, in the free entries of GDT and LDT. */

export interface Animal {
  /** With TI and a random RPL. */
  readonly selector: number;
  readonly base: number;
  /** In bytes. */
  readonly limit: number;
  readonly access: number;
  readonly flags: number;
}

const LDT_FREE = 6;
const G = 0x80;
const DATA = ARENA + PLACE.data;

const dplOf = (random: Random, d: Draft): number => (random.chance(2) ? d.cpl : random.pick([0, 1, 2, 3, 3]));

function segment(random: Random, d: Draft, selector: number): Animal {
  const present = random.chance(10) ? 0 : 0x80;
  const type = random.below(16);
  const isCode = (type & 8) !== 0;
  const access = present | (dplOf(random, d) << 5) | 0x10 | type;
  // L and D together are #GP here and nothing special in TCG: not compared.
  const long = random.chance(isCode && isLong(d.mode) ? 2 : 16) ? 0x20 : 0;
  const big = random.chance(2) && !(isCode && long !== 0 && isLong(d.mode)) ? 0x40 : 0;
  const kind = random.below(4);
  // A small segment over the data, or a large one.
  const base = isCode ? random.pick([0, 0, ARENA]) : random.pick([0, ARENA, DATA]);
  const small = !isCode && base === DATA && kind !== 0;
  const raw = small
    ? random.pick([0, 1, 3, 7, 0xf, 0x10, random.below(0x800)])
    : random.pick([0xf_ffff, 0xf_ffff, 0xffff]);
  const granular = small ? random.chance(16) : random.chance(2) || kind === 1;
  const flags = big | long | (granular ? G : 0) | (random.chance(4) ? 0x10 : 0);
  patchDescriptor(d, selector, descriptor({ base, limit: raw, access, flags }));
  return { selector, base, limit: granular ? raw * 0x1000 + 0xfff : raw, access, flags };
}

function system(random: Random, d: Draft, selector: number): Animal {
  const present = random.chance(10) ? 0 : 0x80;
  const type = random.pick([1, 2, 2, 3, 4, 5, 6, 7, 9, 9, 0xb, 0xc, 0xc, 0xe, 0xf, 0, 8, 0xa, 0xd]);
  const access = present | (dplOf(random, d) << 5) | type;
  if (type === 4 || type === 0xc) {
    const code = random.pick([
      SELECTOR.code32,
      SELECTOR.code64,
      SELECTOR.arenaCode16,
      SELECTOR.userCode32,
      SELECTOR.code32Ring1,
      0,
      SELECTOR.data,
    ]);
    const offset = (code === SELECTOR.arenaCode16 ? 0 : ARENA) + PLACE.code2 + random.below(64);
    patchDescriptor(
      d,
      selector,
      gate({
        selector: code | random.below(4),
        offset,
        access,
        extra: isLong(d.mode) ? 0 : random.pick([0, 0, 1, 2, 3]),
      }),
    );
    return { selector, base: 0, limit: 0, access, flags: 0 };
  }
  const base = type === 2 ? ARENA + PLACE.ldt : ARENA + PLACE.tss;
  const limit = random.pick([0x67, 0x66, 0x2b, 0x1ff, 0xffff, 7]);
  patchDescriptor(d, selector, descriptor({ base, limit, access, flags: random.chance(4) ? 0x10 : 0 }));
  return { selector, base, limit, access, flags: 0 };
}

const placeOf = (selector: number): number => ((selector & 4) !== 0 ? PLACE.ldt : PLACE.gdt) + (selector & 0xfff8);
const patchDescriptor = (d: Draft, selector: number, value: bigint): void => patchValue(d, placeOf(selector), 8, value);

/** Puts `count` random descriptors into the tables. */
export function zoo(random: Random, d: Draft, count: number, what: 'segments' | 'all' = 'all'): Animal[] {
  return Array.from({ length: count }, (_, n) => {
    // Every second entry, as system descriptors of long mode take two.
    const local = random.chance(4);
    const index = local ? LDT_FREE + 2 * n : SELECTOR.zoo / 8 + 2 * n;
    if (index >= (local ? LDT_ENTRIES : GDT_ENTRIES) - 1) throw new Error('no room for so many descriptors');
    const rpl = random.chance(2) ? d.cpl : random.below(4);
    const selector = (index << 3) | (local ? 4 : 0) | rpl;
    return what === 'all' && random.chance(3) ? system(random, d, selector) : segment(random, d, selector);
  });
}

/** Selectors that lead to no random descriptor: null, beyond a table, fixed. */
export function plainSelector(random: Random): number {
  const fixed = Object.values(SELECTOR).filter((s) => s < SELECTOR.zoo);
  return random.pick([
    0,
    1,
    2,
    3,
    0x200,
    0xfff8,
    0x84,
    0x2c,
    ...fixed,
    ...fixed.map((s) => s | 3),
    ...fixed.map((s) => s | 1),
  ]);
}

export const isCode = ({ access }: Animal): boolean => (access & 0x18) === 0x18;
export const isBig = ({ flags }: Animal): boolean => (flags & 0x40) !== 0;

/** An offset that leads from a code segment's base to INT3s in the arena's second page of code. */
export const landing = (random: Random, base: number, wide: boolean): bigint =>
  BigInt((wide ? ARENA + PLACE.code2 - base : PLACE.code2) + random.below(0x800));

/** Where cases begin, for those that come back. */
export const START = CODE_AT;
