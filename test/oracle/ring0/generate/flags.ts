import type { Random } from '../../random.js';
import { draft, finish, littleEndian, MODES, patch } from '../draft.js';
import { PLACE } from '../layout.js';
import type { Ring0Case } from '../ring0-case.js';
import { DX, load } from './bytes.js';

/** POPF, PUSHF, CLI, STI, IN and OUT under CPL, IOPL and the permission bitmap; single steps. */
export function flags(random: Random): Ring0Case {
  const mode = random.pick(MODES);
  const cpl =
    mode === 'real16' ? 0 : random.pick([0, 3, 3, ...(mode === 'legacy32' || mode === 'compat32' ? [1] : [])]);
  const d = draft(random, 'flags', {
    mode,
    cpl,
    paging: mode === 'real16' ? 'none' : random.pick(['none', 'legacy', 'pae'] as const),
  });
  d.flags |= random.below(4) << 12;
  if (random.chance(2)) d.flags |= 0x200;
  const wide = d.bits === 64 ? 4 : d.bits / 8;
  const value = random.u32() & 0x25_7fd5 & (random.chance(6) ? 0xffff_ffff : ~0x100);
  const { code } = d;
  const push = (v: number): number[] => [0x68, ...littleEndian(v, wide)];
  const what = random.below(5);
  if (what < 2) {
    const narrow = random.chance(4);
    if (narrow) code.push(0x66, 0x68, ...littleEndian(value, d.bits === 16 ? 4 : 2), 0x66, 0x9d);
    else code.push(...push(value), 0x9d);
    // TCG has no single-step trap after STI.
    code.push(...random.pick([[0x9c], [0x66, 0x9c], [0x90], [0xfa], [value & 0x100 ? 0x90 : 0xfb]]));
  } else if (what === 2) code.push(random.pick([0xfa, 0xfb]), 0x9c);
  else if (what === 3) {
    if (random.chance(2)) patch(d, PLACE.tss + 0x66, littleEndian(random.pick([0x80, 0x68, 0x1f0, 0xffff]), 2));
    patch(d, PLACE.tss + 0x80, littleEndian(random.u32(), 4));
    const port = 0x260 + random.below(0x20);
    patch(d, PLACE.tss + 0x80 + 0x4c, littleEndian(random.u32(), 4));
    // What an empty port gives is the machine's.
    code.push(
      ...load(d, DX, BigInt(port)),
      ...(random.chance(3) ? [0x66] : []),
      random.pick([0xec, 0xed, 0xee, 0xef]),
      ...(d.bits === 16 ? [0x66, 0x31, 0xc0] : [0x31, 0xc0]),
    );
  } else {
    // A single step over something.
    code.push(...push(0x102 | (d.flags & 0x3000)), 0x9d);
    code.push(
      ...random.pick([
        [0x90],
        [0x9c],
        [0x50, 0x58],
        [0x8c, 0xd8, 0x8e, 0xd8],
        [0xcd, 0x80],
        [0x0f, 0x0b],
        [0xeb, 0x10],
        [0x16, 0x17, 0x90],
      ]),
    );
  }
  return finish(d);
}
