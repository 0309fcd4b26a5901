import type { Random } from '../../random.js';
import { CODE_AT, draft, finish, MODES, offsetIn } from '../draft.js';
import { ARENA, PLACE } from '../layout.js';
import type { Ring0Case } from '../ring0-case.js';
import { AX, access, BX, CX, DI, load, registerForm, SI } from './bytes.js';

/** By LEN: bytes less one. */
const LENGTHS = [0, 1, 7, 3];

/** Breakpoints in the debug registers, on execution and on data. TCG has no guard (DR7.GD). */
export function debug(random: Random): Ring0Case {
  const mode = random.pick(MODES);
  const cpl = mode === 'real16' ? 0 : random.pick([0, 3]);
  const d = draft(random, 'debug', {
    mode,
    cpl,
    paging: mode === 'real16' ? 'none' : random.pick(['none', 'legacy', 'pae'] as const),
  });
  const data = PLACE.data + 0x40;
  let dr7 = 0x400 | (random.chance(3) ? 0x100 : 0);
  for (let n = 0; n < 4; n++) {
    if (random.chance(2)) continue;
    // QEMU aborts now and then at breakpoints in 16-bit code.
    const kind = random.pick(d.bits === 16 ? [1, 3] : [0, 0, 1, 3, 3]);
    const length = kind === 0 ? 0 : random.pick([0, 1, 3, ...(mode === 'long64' ? [2] : [])]);
    const place = kind === 0 ? CODE_AT + random.below(8) : data + random.below(24) - 4;
    // The processor ignores the low bits of an address that is not aligned to its length, TCG does not.
    d.debug[n] = BigInt(ARENA + (place & ~(LENGTHS[length] ?? 0)));
    dr7 |= random.pick([1, 2, 3]) << (2 * n);
    dr7 |= (kind | (length << 2)) << (16 + 4 * n);
  }
  d.dr7 = dr7;
  if (random.chance(4)) d.flags |= 0x1_0000;
  // TCG reads what lies around an operand that is not aligned.
  d.gpr[BX] = BigInt(offsetIn(mode, data + 8 * random.below(2)));
  d.gpr[SI] = BigInt(offsetIn(mode, data));
  d.gpr[DI] = BigInt(offsetIn(mode, data + 4));
  d.gpr[CX] = BigInt(random.below(6));
  const { code } = d;
  for (let n = 1 + random.below(2); n > 0; n--) {
    code.push(
      ...random.pick([
        access(random, d),
        access(random, d),
        [0x90],
        [0xf3, 0xa4],
        [0xf3, 0xaa],
        load(d, AX, 5n),
        [0x0f, 0x21, registerForm(7, AX)],
        [0x0f, 0x23, registerForm(0, AX)],
      ]),
    );
  }
  return finish(d);
}
