import type { Random } from '../../random.js';
import { type Draft, draft, finish, patchValue } from '../draft.js';
import { ARENA, PLACE } from '../layout.js';
import { ENTRY, HIGH_WINDOW, WINDOW, WINDOW_PD, WINDOW_PT } from '../page-tables.js';
import type { Ring0Case } from '../ring0-case.js';
import { access, BX, CX, DI, load, SI, wordBytes } from './bytes.js';

/** Accesses through random page-table entries in the window. */

const LEVEL = { pt: 0, pd: 1, pdpt: 2, root: 3 } as const;
type Level = keyof typeof LEVEL;

/** Bits of an entry: mostly permitted, with each kind of mistake now and then. */
function entryBits(random: Random, d: Draft, wide: boolean, pointerTable: boolean): bigint {
  let bits = random.chance(8) ? 0n : ENTRY.present;
  // TCG does not check the reserved bits of the pointer table.
  if (pointerTable) return bits;
  if (!random.chance(3)) bits |= ENTRY.write;
  if (random.chance(2) || (d.cpl === 3 && random.chance(2))) bits |= ENTRY.user;
  if (random.chance(2)) bits |= ENTRY.accessed;
  if (random.chance(2)) bits |= ENTRY.dirty;
  if (random.chance(3)) bits |= ENTRY.global;
  if (random.chance(3)) bits |= BigInt(random.below(4)) << 3n;
  if (random.chance(4)) bits |= BigInt(random.below(8)) << 9n;
  if (wide && random.chance(4)) bits |= ENTRY.noExecute;
  if (wide && random.chance(16)) bits |= 1n << BigInt(40 + random.below(23));
  return bits;
}

const page = (place: number): number => (ARENA + place) >> 12;

export function paging(random: Random): Ring0Case {
  const kind = random.pick(['legacy', 'pae', 'long', 'long'] as const);
  const mode = kind === 'long' ? random.pick(['long64', 'long64', 'long64', 'compat32'] as const) : 'legacy32';
  const cpl = random.pick([0, 0, 3, 3]);
  const d = draft(random, 'paging', { mode, cpl, paging: kind === 'long' ? 'none' : kind });
  const wide = kind !== 'legacy';
  const size = wide ? 8 : 4;
  if (random.chance(2)) d.cr4 ^= 0x10;
  if (random.chance(3)) d.cr4 |= 0x80;
  if (random.chance(3)) d.cr4 |= 0x10_0000;
  if (random.chance(3)) d.cr4 |= 0x20_0000;
  if (random.chance(3)) d.cr0 ^= 0x1_0000;
  if (random.chance(3)) d.flags |= 0x4_0000;
  if (random.chance(4)) d.efer ^= 0x800;
  const change = (level: Level, at: number, table: bigint): void => {
    const pointerTable = kind === 'pae' && level === 'root';
    let value = table | entryBits(random, d, wide, pointerTable);
    // TCG does not check G in the root of long mode.
    if (level === 'root') value &= ~ENTRY.global;
    const mayBeLarge = level === 'pd' || level === 'pdpt';
    if (mayBeLarge && random.chance(3)) {
      // A page of 2 MiB, 4 MiB or 1 GiB from address 0, now and then with address bits that are reserved.
      const wrong = random.chance(8) ? BigInt(random.pick([0x1000, 0x2000, 0x10_0000, 0x20_0000])) : 0n;
      value =
        (value & ~0x000f_ffff_ffff_f000n) | (value & ~0xff_ffff_f000n & 0x000f_ffff_ffff_f000n) | ENTRY.large | wrong;
      if (!wide) value &= 0xfffn | wrong;
    } else if (level === 'root' && kind === 'long' && random.chance(16)) value |= ENTRY.large;
    patchValue(d, at, size, value);
  };
  const what = random.below(8);
  // What is executed is INT3.
  const target =
    what === 0 ? PLACE.code2 : random.pick([PLACE.data, PLACE.data, PLACE.data2, PLACE.code2, PLACE.data + 0xff9]);
  const offset = target === PLACE.data + 0xff9 ? random.below(8) : random.below(0xf80);
  for (const place of [PLACE.data, PLACE.data2, PLACE.code2]) {
    if (random.chance(2)) change('pt', WINDOW_PT + size * page(place), BigInt(ARENA + place));
  }
  const pt = BigInt(ARENA + WINDOW_PT);
  const root = PLACE.root;
  if (random.chance(2)) change('pd', kind === 'legacy' ? root + 4 * (WINDOW >>> 22) : WINDOW_PD, pt);
  const high = mode === 'long64' && random.chance(3);
  const pd = BigInt(ARENA + WINDOW_PD);
  if (random.chance(3)) {
    if (kind === 'pae') change('root', root + 8, pd);
    else if (kind === 'long') change('pdpt', PLACE.tables + 8, pd);
  }
  if (high && random.chance(3)) change('root', root + 8 * 511, BigInt(ARENA + PLACE.tables));
  let linear = BigInt(ARENA + target + offset) + (high ? HIGH_WINDOW : BigInt(WINDOW));
  if (mode === 'long64' && random.chance(24)) linear ^= 0x0000_8000_0000_0000n;
  const { code } = d;
  if (what === 0) {
    // Execute there.
    d.gpr[BX] = linear;
    code.push(0xff, random.pick([0xe3, 0xd3]));
  } else if (what === 1) {
    d.gpr[SI] = linear;
    d.gpr[DI] = BigInt(ARENA + PLACE.data2 + 0xc00);
    d.gpr[CX] = BigInt(random.below(12));
    code.push(0xf3, random.pick([0xa4, 0xa5]));
  } else if (what === 2) {
    d.gpr[DI] = linear;
    d.gpr[CX] = BigInt(random.below(12));
    code.push(0xf3, random.pick([0xaa, 0xab]));
  } else if (what === 3) {
    // Twice, so that the second comes from the TLB; or with INVLPG between.
    d.gpr[BX] = linear;
    const between = d.cpl === 0 && random.chance(2) ? [0x0f, 0x01, 0x3b] : [];
    code.push(...access(random, d), ...between, ...access(random, d));
  } else if (what === 4 && d.cpl === 0) {
    // STAC or CLAC first, which need CR4.SMAP or not at all.
    d.gpr[BX] = linear;
    code.push(0x0f, 0x01, random.pick([0xca, 0xcb]), ...access(random, d));
  } else if (what === 5 && d.cpl === 0) {
    // The entry is changed, and INVLPG says so.
    d.gpr[BX] = linear;
    const entry = BigInt(ARENA + WINDOW_PT + size * page(target & 0xf000));
    code.push(
      ...access(random, d),
      ...load(d, CX, entry),
      0x83,
      random.pick([0x31, 0x21]),
      random.pick([2, 4, 0x20, 0xfe, 6]),
      0x0f,
      0x01,
      0x3b,
      ...access(random, d),
    );
  } else {
    d.gpr[BX] = linear;
    code.push(...access(random, d));
  }
  d.gpr[4] = d.rsp;
  if (wordBytes(d) === 4) for (const n of [BX, SI, DI]) d.gpr[n] = BigInt.asUintN(32, d.gpr[n] ?? 0n);
  return finish(d);
}
