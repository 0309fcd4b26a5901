import type { Random } from '../../random.js';
import { type Draft, draft, finish, littleEndian, offsetIn, PROTECTED, patch } from '../draft.js';
import { ARENA, PLACE } from '../layout.js';
import type { Ring0Case } from '../ring0-case.js';
import { AX, access, atBx, BX, CX, load, OVERRIDE, registerForm } from './bytes.js';
import { type Animal, isBig, isCode, plainSelector, zoo } from './zoo.js';

const DATA = ARENA + PLACE.data;
const [ES, SS, DS, FS, GS] = [0, 2, 3, 4, 5];
const POP: Readonly<Record<number, readonly number[]>> = {
  [ES]: [0x07],
  [SS]: [0x17],
  [DS]: [0x1f],
  [FS]: [0x0f, 0xa1],
  [GS]: [0x0f, 0xa9],
};
/** LES, LSS, LDS, LFS, LGS. */
const POINTER: Readonly<Record<number, readonly number[]>> = {
  [ES]: [0xc4],
  [SS]: [0x0f, 0xb2],
  [DS]: [0xc5],
  [FS]: [0x0f, 0xb4],
  [GS]: [0x0f, 0xb5],
};

/** An offset in a segment of data: near the limit of a small one. */
function offsetOf(random: Random, d: Draft, animal: Animal | undefined, n: number): number {
  const base = d.bits === 64 && n < FS ? 0 : (animal?.base ?? 0);
  if (!animal || base !== DATA) return DATA - base + random.below(64);
  const down = (animal.access & 4) !== 0;
  return down ? animal.limit + 1 + random.below(8) : Math.max(0, animal.limit - 7 - random.below(4));
}

/** TCG checks neither limits nor types of data segments: only what they allow is comparable. */
function permits(d: Draft, animal: Animal, n: number, offset: number): boolean {
  if (isCode(animal) || (animal.access & 0x12) !== 0x12) return false;
  if (d.bits === 64) return n < FS || offset + animal.base < DATA + 0x2000;
  const at = d.bits === 16 ? offset & 0xffff : offset;
  if ((animal.access & 4) !== 0) return at > animal.limit && (isBig(animal) || at + 8 <= 0xffff);
  return at + 7 <= animal.limit;
}

function loadSegment(random: Random, d: Draft, selector: number, animal: Animal | undefined): void {
  const { code } = d;
  // LES and LDS do not exist in 64-bit mode.
  const n = random.pick([ES, SS, DS, DS, FS, GS]);
  const offset = offsetOf(random, d, animal, n);
  d.gpr[BX] = BigInt(offset);
  const how = random.below(4);
  if (how === 0 && (d.bits !== 64 || n >= FS)) code.push(0x50, ...(POP[n] ?? []));
  else if (how === 1 && (d.bits !== 64 || n === SS || n >= FS)) {
    const wide = d.bits === 64 && random.chance(2);
    const operand = wide ? 8 : Math.min(d.bits / 8, 4);
    const at = PLACE.data + 0x100;
    patch(d, at, [...littleEndian(random.u64(), operand), ...littleEndian(selector, 2)]);
    code.push(...load(d, BX, BigInt(offsetIn(d.mode, at))));
    // AMD has no 64-bit form of the far pointers: both read 32 bits of offset there.
    code.push(...(POINTER[n] ?? []), atBx(d, CX), ...load(d, BX, BigInt(offset)));
  } else code.push(0x8e, registerForm(n, AX));
  if (animal && permits(d, animal, n, offset))
    code.push(...access(random, d, d.bits === 64 && n < FS ? [] : [OVERRIDE[n] ?? 0x3e]));
  code.push(0x8c, registerForm(n, CX));
  // The handler's stack is again that of before: its limit would not be checked.
  if (n === SS && d.cpl < 3) {
    d.gpr[2] = BigInt(d.ss);
    code.push(0x8e, registerForm(SS, 2));
  }
}

/** Loads of segment registers, LLDT, LTR, LAR and their like, with a use of what was loaded. */
export function segments(random: Random): Ring0Case {
  const mode = random.pick(PROTECTED);
  const cpl = random.pick([0, 0, 3, 3, ...(mode === 'legacy32' || mode === 'compat32' ? [1] : [])]);
  const d = draft(random, 'segments', { mode, cpl, paging: random.pick(['none', 'legacy', 'pae'] as const) });
  const animals = zoo(random, d, 3);
  const animal = random.chance(8) ? undefined : random.pick(animals);
  const selector = animal?.selector ?? plainSelector(random);
  const { code } = d;
  d.gpr[AX] = (random.u64() & ~0xffffn) | BigInt(selector);
  const what = random.below(10);
  if (what < 6) loadSegment(random, d, selector, animal);
  else if (what === 6) code.push(0x0f, 0x00, registerForm(2, AX), 0x0f, 0x00, registerForm(0, CX));
  // TCG loads a null task register, which is #GP(0).
  else if (what === 7) code.push(0x0f, 0x00, registerForm(selector < 4 ? 1 : 3, AX), 0x0f, 0x00, registerForm(1, CX));
  else if (what === 8) {
    const size = random.chance(3) ? [0x66] : d.bits === 64 && random.chance(3) ? [0x48] : [];
    d.name = 'LAR or LSL';
    code.push(...size, 0x0f, random.pick([2, 3]), registerForm(CX, AX));
  } else code.push(0x0f, 0x00, registerForm(random.pick([4, 5]), AX));
  return finish(d);
}
