import type { Random } from '../../random.js';
import { draft, finish, littleEndian, MODES, offsetIn } from '../draft.js';
import { ARENA, PLACE, SELECTOR, STACK_TOP } from '../layout.js';
import type { Ring0Case } from '../ring0-case.js';
import { CX, DX, load } from './bytes.js';

/** SYSCALL, SYSRET, SYSENTER, SYSEXIT and SWAPGS, alone or one after the other. */

const COUNTED = [SELECTOR.code32, SELECTOR.code64, SELECTOR.userCode32, SELECTOR.code16, 0, SELECTOR.zoo];

/** TCG takes 1 to 3 for a selector. */
const sysenterSelector = (random: Random): bigint => {
  const selector = random.pick(COUNTED);
  return BigInt(selector === 0 ? 0 : selector | random.below(4));
};

export function systemCalls(random: Random): Ring0Case {
  const mode = random.pick(MODES);
  const cpl = mode === 'real16' ? 0 : random.pick([0, 3, 3]);
  const d = draft(random, 'system call', {
    mode,
    cpl,
    paging: mode === 'real16' ? 'none' : random.pick(['none', 'legacy', 'pae'] as const),
  });
  const there = (): bigint => BigInt(ARENA + PLACE.code2 + random.below(0x400));
  d.star =
    (BigInt(random.pick(COUNTED) | random.below(4)) << 48n) |
    (BigInt(random.pick(COUNTED) | random.below(4)) << 32n) |
    there();
  d.lstar = there();
  d.cstar = there();
  d.sfmask = random.u64() & 0xffff_ffffn;
  d.sysenter = [sysenterSelector(random), BigInt(ARENA + STACK_TOP.ist1), there()];
  // Without SCE, SYSRET of real mode is #UD here and #GP in TCG.
  if (mode !== 'real16' && random.chance(6)) d.efer &= ~1;
  d.gpr[CX] = there();
  d.gpr[DX] = there();
  d.gpr[11] = random.u64() & 0x24_7ed5n;
  d.flags |= random.u32() & 0x4_7200 & (random.chance(2) ? 0xffff_ffff : 0x200);
  const rex = d.bits === 64 && random.chance(2) ? [0x48] : [];
  const swap = [0x0f, 0x01, 0xf8];
  const call = [0x0f, 0x05];
  const back = [...rex, 0x0f, 0x07];
  const { code } = d;
  // SYSCALL in real mode loads flat segments and stays there; SYSENTER of AMD is #UD in long mode, not so in TCG.
  const choices =
    mode === 'real16' ? [2, 3, 4, 5] : d.kind === 'long' && d.bits !== 64 ? [0, 1, 2, 5] : [0, 1, 2, 3, 4, 5];
  switch (random.pick(choices)) {
    case 0:
      code.push(...call);
      break;
    case 1: {
      // There and back: the kernel's entry returns.
      const entry = PLACE.code2 + 0x900;
      d.lstar = d.cstar = BigInt(ARENA + entry);
      d.star = (d.star & ~0xffff_ffffn) | BigInt(ARENA + entry);
      d.patches.push({
        at: entry,
        bytes: Uint8Array.from([...(d.kind === 'long' && random.chance(2) ? [0x48] : []), 0x0f, 0x07]),
      });
      code.push(...call);
      break;
    }
    case 2:
      code.push(...back);
      break;
    case 3:
      code.push(0x0f, 0x34);
      break;
    case 4:
      if (d.bits !== 64) d.gpr[CX] = BigInt(offsetIn(mode, STACK_TOP.ring3));
      code.push(...rex, 0x0f, 0x35);
      break;
    default:
      code.push(
        ...swap,
        ...(d.bits === 64 ? [0x65, 0x48, 0x8b, 0x04, 0x25, ...littleEndian(ARENA + PLACE.data, 4)] : load(d, DX, 1n)),
      );
  }
  return finish(d);
}
