import type { Random } from '../../random.js';
import { descriptor, gate } from '../descriptors.js';
import { type Draft, draft, finish, isLong, littleEndian, MODES, patch, patchValue } from '../draft.js';
import { ARENA, PLACE, SELECTOR, STACK_TOP, STUB_SIZE } from '../layout.js';
import type { Ring0Case } from '../ring0-case.js';
import type { Runner } from '../runner.js';
import { AX, load, registerForm } from './bytes.js';
import { type Animal, isBig, isCode, plainSelector, zoo } from './zoo.js';

/** INT and exceptions through random gates, task state segments and interrupt stacks. */

/** Code that raises an exception, by vector. */
function trigger(random: Random, d: Draft, vector: number): number[] {
  const legacy = d.bits !== 64;
  switch (vector) {
    case 0:
      return [0x31, 0xc9, 0xf7, registerForm(6, 1)];
    case 1:
      // INT1 itself is #UD in TCG.
      return [0xcd, 1];
    case 3:
      return random.chance(2) ? [0xcc] : [0xcd, 3];
    case 4:
      // mov al, 0x7f; inc al; into
      return legacy ? [0xb0, 0x7f, 0xfe, 0xc0, 0xce] : [0xcd, 4];
    case 6:
      return [0x0f, 0x0b];
    case 11: {
      patchValue(d, PLACE.gdt + 0x1e0, 8, descriptor({ access: 0x13 | 0x60 }));
      return [...load(d, AX, BigInt(0x1e0 | d.cpl)), 0x8e, registerForm(3, AX)];
    }
    case 13:
      return [...load(d, AX, 0xfff8n), 0x8e, registerForm(0, AX)];
    case 14:
      return d.bits === 16 ? [0xcd, 14] : [0xa0, ...littleEndian(0x0050_0000, d.bits === 64 ? 8 : 4)];
    default:
      return [0xcd, vector];
  }
}

const VECTORS = [0, 1, 3, 4, 6, 11, 13, 14, 0x80, 0x81, 0x21];

/** Handlers read their own code. */
const READABLE = 2;
const CONFORMING = 4;
const NO_CODE = [0, 1, SELECTOR.data, SELECTOR.tss, SELECTOR.ldt, 0x200, 0x84, 0xfff8];

function randomGate(random: Random, d: Draft, { stubs }: Runner, vector: number, animals: readonly Animal[]): bigint {
  const plain = [
    { selector: SELECTOR.code32, bits: 32, base: 0 },
    { selector: SELECTOR.code16, bits: 16, base: 0 },
    { selector: SELECTOR.code64, bits: 64, base: 0 },
    { selector: isLong(d.mode) ? SELECTOR.code64 : SELECTOR.code32, bits: isLong(d.mode) ? 64 : 32, base: 0 },
    { selector: isLong(d.mode) ? SELECTOR.code64 : SELECTOR.code32, bits: isLong(d.mode) ? 64 : 32, base: 0 },
    { selector: SELECTOR.userCode32 | 3, bits: 32, base: 0 },
    { selector: SELECTOR.code32Ring1 | 1, bits: 32, base: 0 },
  ] as const;
  const codes = animals
    .filter((a) => isCode(a) && a.base === 0 && (a.access & READABLE) !== 0)
    // In a handler of user mode, TCG pushes as a supervisor.
    .filter((a) => d.cpl < 3 || d.paging === 'none' || (a.access & CONFORMING) === 0)
    .map(
      (a) =>
        ({
          selector: a.selector,
          bits: isLong(d.mode) && (a.flags & 0x20) !== 0 ? 64 : isBig(a) ? 32 : 16,
          base: a.base,
        }) as const,
    );
  const { selector, bits, base } = random.pick([...plain, ...codes, ...codes]);
  // A handler in code of another size would do anything.
  const odd = random.chance(12) ? random.pick(NO_CODE) : selector;
  const type = random.chance(10)
    ? random.below(32)
    : isLong(d.mode)
      ? random.pick([0xe, 0xf])
      : random.pick([0xe, 0xf, 0xe, 0xf, 6, 7]);
  const dpl = random.chance(3) ? random.below(4) : 3;
  const present = random.chance(12) ? 0 : 0x80;
  const ist = isLong(d.mode) && random.chance(3) ? random.below(8) : 0;
  // A base above the handlers wraps.
  const offset = (stubs[bits] + STUB_SIZE * vector - base) >>> 0;
  return gate({ selector: odd, offset, access: present | (dpl << 5) | type, extra: ist });
}

const stackTop = (random: Random): number =>
  ARENA +
  random.pick([STACK_TOP.ist1, STACK_TOP.ist2, STACK_TOP.inner1, STACK_TOP.ring0 - 0x100]) -
  2 * random.below(8);

function changeTss(random: Random, d: Draft, animals: readonly Animal[]): void {
  if (isLong(d.mode)) {
    const odd = random.chance(4) ? 0x8000_0000_0000n : random.chance(4) ? 0x5_0000_0000n : BigInt(stackTop(random));
    patchValue(d, PLACE.tss + random.pick([4, 0xc, 0x14, 0x24, 0x2c]), 8, odd);
  } else {
    const ss = random.chance(3)
      ? plainSelector(random)
      : random.chance(2)
        ? SELECTOR.data
        : random.pick(animals).selector;
    patchValue(d, PLACE.tss + random.pick([4, 4, 0xc]), 8, BigInt(stackTop(random)) | (BigInt(ss) << 32n));
  }
  if (random.chance(3)) {
    const type = !isLong(d.mode) && random.chance(2) ? 1 : 9;
    if (type === 1) {
      patch(d, PLACE.tss + 2, [...littleEndian(STACK_TOP.ist1, 2), ...littleEndian(SELECTOR.data16, 2)]);
    }
    const limit = random.pick([0x67, 0x2b, 0x1b, 0xb, 7, 5, 3, 0x2c]);
    patchValue(d, PLACE.gdt + SELECTOR.tss, 8, descriptor({ base: ARENA + PLACE.tss, limit, access: 0x80 | type }));
  }
}

export const events =
  (runner: Runner) =>
  (random: Random): Ring0Case => {
    const mode = random.pick(MODES);
    const cpl =
      mode === 'real16' ? 0 : random.pick([0, 0, 3, 3, ...(mode === 'legacy32' || mode === 'compat32' ? [1] : [])]);
    const d = draft(random, 'event', {
      mode,
      cpl,
      paging: mode === 'real16' ? 'none' : random.pick(['none', 'legacy', 'pae'] as const),
    });
    const vector = random.pick(VECTORS);
    d.name = `event ${vector}`;
    if (mode === 'real16') {
      if (random.chance(3)) d.idtLimit = random.below(0x3ff);
      if (random.chance(4)) d.rsp = BigInt(2 * random.below(4));
    } else {
      const animals = zoo(random, d, 4, 'segments');
      const size = isLong(mode) ? 16 : 8;
      for (let n = random.below(2); n >= 0; n--) {
        const which = n === 0 ? vector : random.pick([8, 10, 11, 12, 13]);
        patchValue(d, PLACE.idt + size * which, 8, randomGate(random, d, runner, which, animals));
      }
      if (random.chance(2)) changeTss(random, d, animals);
      if (random.chance(10)) d.idtLimit = size * (14 + random.below(4)) - 1 - random.below(2);
      // A stack that is nearly at its end, or nowhere.
      if (random.chance(8) && cpl === 0 && d.bits !== 16 && d.paging !== 'none')
        d.rsp = random.pick([0x5_0000_0004n, 0x8000_0000_0000n, 0x10n, 0x6000_0010n]);
      if (random.chance(4)) d.flags |= random.pick([0x4000, 0x200, 0x3000, 0x4_0000]);
    }
    d.code.push(...trigger(random, d, vector));
    return finish(d);
  };
