import type { Random } from '../../random.js';
import { draft, finish, isLong, MODES, offsetIn, patchValue } from '../draft.js';
import { ARENA, PLACE } from '../layout.js';
import { ENTRY, WINDOW, WINDOW_PT } from '../page-tables.js';
import type { Ring0Case } from '../ring0-case.js';
import { CX, DI, DX, OVERRIDE, SI } from './bytes.js';

/** Repeated string instructions that meet a fault on their way, in the next page. Ends of segments are not here: TCG has no limits. */

const OPCODES = [0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xa7, 0xae, 0xaf, 0x6c, 0x6d, 0x6e, 0x6f];

export function strings(random: Random): Ring0Case {
  const mode = random.pick(MODES);
  const cpl = mode === 'real16' ? 0 : random.pick([0, 3]);
  const canPage = isLong(mode) || mode === 'legacy32';
  const d = draft(random, 'strings', {
    mode,
    cpl,
    paging: canPage ? random.pick(['none', 'legacy', 'pae'] as const) : 'none',
  });
  if (random.chance(3)) d.flags |= 0x400;
  d.gpr[CX] = BigInt(random.below(24));
  d.gpr[DX] = 0x260n;
  const windowed = d.paging !== 'none' && d.bits !== 16 && random.chance(2);
  if (windowed) {
    const size = d.paging === 'legacy' ? 4 : 8;
    const index = (ARENA + PLACE.data2) >> 12;
    const bits = BigInt(random.pick([0, 1, 3, 5, 7])) | ENTRY.accessed;
    patchValue(d, WINDOW_PT + size * index, size, BigInt(ARENA + PLACE.data2) | bits);
    const edge = (): bigint => BigInt(WINDOW + ARENA + PLACE.data2 + random.below(48) - 24);
    const plain = (): bigint => BigInt(ARENA + PLACE.data + 0x200 + random.below(0x100));
    // Which operand of CMPS faults first is the processor's own affair: one of them at most.
    const source = random.chance(2);
    d.gpr[SI] = source ? edge() : plain();
    d.gpr[DI] = source ? plain() : edge();
  } else {
    const place = (): bigint => BigInt(offsetIn(mode, PLACE.data + 0x80 + random.below(0x80)));
    d.gpr[SI] = place();
    d.gpr[DI] = place();
  }
  const prefixes = [
    ...(random.chance(6) ? [OVERRIDE[random.pick([0, 1, 2, 3, 4, 5])] ?? 0x3e] : []),
    ...(random.chance(4) ? [0x66] : []),
    ...(random.chance(8) && (d.bits !== 16 || (d.gpr[SI] ?? 0n) < 0x1_0000n) && d.bits !== 32 ? [0x67] : []),
    random.pick([0xf2, 0xf3, 0xf3]),
    ...(d.bits === 64 && random.chance(3) ? [0x48] : []),
  ];
  d.code.push(...prefixes, random.pick(OPCODES));
  return finish(d);
}
