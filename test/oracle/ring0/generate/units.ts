import type { Random } from '../../random.js';
import { draft, finish, MODES, offsetIn } from '../draft.js';
import { PLACE } from '../layout.js';
import type { Ring0Case } from '../ring0-case.js';
import { atBx, BX } from './bytes.js';

/**
 * x87 and XMM instructions under CR0.EM, MP, TS, NE and CR4.OSFXSR; #MF. TCG raises #MF only at FWAIT, has no stack
 * faults, no #XF and no #GP for misaligned XMM operands: those are for the native oracle and the unit tests.
 */
export function units(random: Random): Ring0Case {
  const mode = random.pick(MODES);
  const cpl = mode === 'real16' ? 0 : random.pick([0, 3]);
  const d = draft(random, 'units', { mode, cpl });
  // NE stays: without it errors go to an interrupt controller.
  if (random.chance(4)) d.cr0 |= 2;
  // EM gives #UD and TS #NM; which comes first is not compared.
  if (random.chance(4)) d.cr0 |= random.pick([4, 8]);
  if (random.chance(6)) d.cr4 &= ~0x200;
  if (random.chance(4)) d.cr4 &= ~0x400;
  if (random.chance(2)) d.fcw = 0x340 | random.below(0x40);
  d.gpr[BX] = BigInt(offsetIn(mode, PLACE.data + 0x100));
  const rm = atBx(d, 0);
  const memory = (reg: number): number => atBx(d, reg);
  const sequences: readonly (readonly number[])[] = [
    // FLD1; FLDZ; FDIVP; FWAIT
    [0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x9b],
    // The same with FNSTSW AX; FNCLEX instead of FWAIT
    [0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0xdf, 0xe0, 0x31, 0xc0, 0xdb, 0xe2],
    [0xdb, 0xe3, 0x9b],
    [0x9b],
    [0xd9, memory(7), 0xd9, memory(5)],
    [0x0f, 0xae, memory(3)],
    [0x0f, 0x57, 0xc0, 0x0f, 0x5e, 0xc0],
    [0x0f, 0x57, rm],
    [0x0f, 0x28, rm],
    [0x0f, 0x10, rm],
    [0x0f, 0xef, 0xc0, 0x0f, 0x7e, 0xc0],
    [0x0f, 0xc3, memory(2)],
    [0x66, 0x0f, 0xef, 0xc0],
    [0xf3, 0x0f, 0x7e, 0xc1],
    [0x0f, 0x50, 0xc0],
    [0xf2, 0x0f, 0x2a, 0xc0],
    [0x0f, 0x18, rm],
    [0x0f, 0xae, 0xf0],
    [0x0f, 0xae, memory(7)],
    // FXSAVE and FXRSTOR of an address that is not aligned
    [0xff, 0xc3, 0x0f, 0xae, memory(0)],
    [0xff, 0xc3, 0x0f, 0xae, memory(1)],
  ];
  d.code.push(...random.pick(sequences));
  return finish(d);
}
