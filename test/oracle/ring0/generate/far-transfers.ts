import type { Random } from '../../random.js';
import { type Draft, draft, finish, littleEndian, MODES, offsetIn, patch } from '../draft.js';
import { ARENA, PLACE, SELECTOR, STACK_TOP } from '../layout.js';
import type { Ring0Case } from '../ring0-case.js';
import { atBx, BX, load } from './bytes.js';
import { type Animal, isCode, landing, plainSelector, zoo } from './zoo.js';

/** Far jumps, calls and returns and IRET, between modes and privileges. */

interface Target {
  readonly selector: number;
  readonly offset: bigint;
}

const CODE = [
  SELECTOR.code32,
  SELECTOR.code64,
  SELECTOR.arenaCode16,
  SELECTOR.userCode32 | 3,
  SELECTOR.userCode64 | 3,
  SELECTOR.userCode16 | 3,
  SELECTOR.code32Ring1 | 1,
];
const IN_ARENA = [SELECTOR.arenaCode16, SELECTOR.userCode16 | 3];
const STACKS = [SELECTOR.data, SELECTOR.userData | 3, SELECTOR.data16, SELECTOR.userData16 | 3, SELECTOR.dataRing1 | 1];

/** `beyond`: now and then an offset beyond the limit. */
function target(random: Random, d: Draft, animals: readonly Animal[], beyond: boolean): Target {
  if (d.mode === 'real16') {
    const segment = random.pick([0x1000, 0x1100, 0xc00, 0x1c00]);
    return { selector: segment, offset: BigInt(Math.max(0, ARENA + PLACE.code2 - segment * 16) & 0xffff) };
  }
  if (random.chance(3)) {
    const selector = random.pick(CODE);
    return { selector, offset: landing(random, 0, !IN_ARENA.includes(selector)) };
  }
  if (random.chance(6)) {
    const selector = plainSelector(random);
    return { selector, offset: landing(random, 0, ![...IN_ARENA, SELECTOR.code16].includes(selector & 0xff)) };
  }
  const animal = random.pick(animals);
  const odd = beyond && random.chance(8) && isCode(animal) ? BigInt(animal.limit + 1) & 0xffff_ffffn : undefined;
  const narrow = animal.base === ARENA;
  return {
    selector: animal.selector,
    offset: odd !== undefined && odd < 0x2_0000n ? odd : landing(random, 0, !narrow),
  };
}

function stackSelector(random: Random, animals: readonly Animal[], cpl: number): number {
  if (random.chance(2)) return STACKS.find((s) => (s & 3) === cpl && !random.chance(2)) ?? random.pick(STACKS);
  if (random.chance(6)) return plainSelector(random);
  return random.pick(animals).selector;
}

const pointerIn = (random: Random): bigint =>
  BigInt((random.chance(2) ? ARENA : 0) + STACK_TOP.ring3 - 8 * random.below(4));

export function farTransfers(random: Random): Ring0Case {
  const mode = random.pick(MODES);
  const cpl =
    mode === 'real16' ? 0 : random.pick([0, 0, 0, 3, ...(mode === 'legacy32' || mode === 'compat32' ? [1] : [])]);
  const d = draft(random, 'far transfer', {
    mode,
    cpl,
    paging: mode === 'real16' ? 'none' : random.pick(['none', 'legacy', 'pae'] as const),
  });
  const animals = mode === 'real16' ? [] : zoo(random, d, 4);
  const usual = d.bits === 16 ? 2 : 4;
  const other = random.chance(4);
  const what = random.below(7);
  // TCG does not check the limit for returns.
  const { selector, offset } = target(random, d, animals, what < 3);
  // Operand size 2, 4 or 8 by prefix.
  const isReturn = what >= 3;
  const rex = d.bits === 64 && isReturn && !other && !random.chance(4);
  const size = rex ? 8 : other ? (usual === 2 ? 4 : 2) : usual;
  const prefix = rex ? [0x48] : other ? [0x66] : [];
  const { code } = d;
  if (what < 3) {
    const isCall = random.chance(2);
    if (d.bits !== 64 && random.chance(2)) {
      code.push(...prefix, isCall ? 0x9a : 0xea, ...littleEndian(offset, size), ...littleEndian(selector, 2));
      return finish(d);
    }
    const at = PLACE.data + 0x80;
    patch(d, at, [...littleEndian(offset, size), ...littleEndian(selector, 2)]);
    code.push(...load(d, BX, BigInt(offsetIn(mode, at))), ...prefix, 0xff, atBx(d, isCall ? 3 : 5));
    return finish(d);
  }
  const extra = what === 4 ? random.pick([0, 4, 8, 16]) : 0;
  const flags = 2 | (random.u32() & 0x24_7fd5 & ~0x100) | (random.chance(16) ? 0x100 : 0);
  const words: bigint[] = [offset, BigInt(selector)];
  if (what >= 5) words.push(BigInt(flags));
  const rest = [pointerIn(random), BigInt(mode === 'real16' ? 0 : stackSelector(random, animals, selector & 3))];
  const bytes = [
    ...words.flatMap((w) => littleEndian(w, size)),
    ...new Array<number>(extra).fill(0x11),
    ...rest.flatMap((w) => littleEndian(w, size)),
  ];
  const top = (cpl === 3 ? STACK_TOP.ring3 : STACK_TOP.ring0) - 0x60;
  patch(d, top, bytes);
  d.rsp = BigInt(offsetIn(mode, top));
  if (random.chance(8)) d.flags |= random.pick([0x1000, 0x2000, 0x3000]);
  if (random.chance(24) && what >= 5) d.flags |= 0x4000;
  if (what === 3) code.push(...prefix, 0xcb);
  else if (what === 4) code.push(...prefix, 0xca, ...littleEndian(extra, 2));
  else code.push(...prefix, 0xcf);
  return finish(d);
}
