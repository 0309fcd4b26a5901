import type { Random } from '../../random.js';
import { type Draft, draft, finish, isLong, littleEndian, MODES, offsetIn } from '../draft.js';
import { PLACE } from '../layout.js';
import type { Ring0Case } from '../ring0-case.js';
import { AX, atBx, BX, CX, DX, load, registerForm } from './bytes.js';

/** Control and debug registers, MSRs, descriptor-table registers and other privileged instructions. */

const CANONICAL = [0n, 0x1234_5678n, 0x7fff_ffff_ffffn, 0xffff_8000_0000_0000n, 0xffff_ffff_ffff_ffffn];
const CR0_BITS = [2, 4, 8, 0x10, 0x20, 0x40, 0x1000, 0x1_0000, 0x4_0000, 0x2000_0000, 0x4000_0000, 0x1000_0000];
/** TCG lets PAE be cleared in long mode, and does not come back from a bit that it does not know: not compared. */
const CR4_BITS = [4, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800, 0x1_0000, 0x10_0000, 0x20_0000];
const MSRS = [
  0x174, 0x175, 0x176, 0x277, 0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084, 0xc000_0100, 0xc000_0101, 0xc000_0102,
  0xc000_0103,
];

const toggled = (random: Random, value: number, bits: readonly number[]): bigint => {
  let out = value;
  for (let n = 1 + random.below(3); n > 0; n--) out ^= random.pick(bits);
  return BigInt(out >>> 0);
};

function controlRegister(random: Random, d: Draft): number[] {
  // TCG looks at the privilege before the number; it takes any CR8.
  const n = random.pick([0, 0, 2, 3, 4, 4, 8, ...(d.cpl === 0 ? [1, 5] : [])]);
  const wide = n !== 8 && d.bits === 64 && random.chance(8) ? 1n << BigInt(32 + random.below(32)) : 0n;
  let value = random.u64() & 0xffn;
  if (n === 0)
    value = toggled(random, d.cr0, [
      ...CR0_BITS, // TCG leaves paging also from 64-bit code.
      ...(d.kind === 'real' || d.bits === 64 ? [] : [0x8000_0000]),
    ]);
  else if (n === 4) value = toggled(random, d.cr4, isLong(d.mode) ? CR4_BITS.filter((bit) => bit !== 0x20) : CR4_BITS);
  else if (n === 3) value = BigInt(d.cr3) | (random.chance(2) ? BigInt(random.pick([8, 0x10, 0x18, 1, 0xfff])) : 0n);
  else if (n === 8) value = BigInt(random.below(16));
  const modrm = registerForm(n & 7, AX);
  const rex = n === 8 ? (d.bits === 64 ? [0x44] : [0xf0]) : [];
  const read = [...rex, 0x0f, 0x20, registerForm(n & 7, CX)];
  if (random.chance(4)) return read;
  const wanted = value | wide;
  return [
    ...(d.bits === 16 ? [0x66, 0xb8, ...littleEndian(wanted, 4)] : load(d, AX, wanted)),
    ...rex,
    0x0f,
    0x22,
    modrm,
    ...read,
  ];
}

function debugRegister(random: Random, d: Draft): number[] {
  const n = random.below(8);
  const value =
    n < 4
      ? random.u64()
      : n === 6 || n === 4
        ? BigInt(random.u32() & ~0x1000) & 0xffff_ffffn
        : BigInt(random.u32() & 0xffff_0300);
  const wide = d.bits === 64 && random.chance(4) ? 1n << 40n : 0n;
  const wanted = (d.bits === 64 ? value : value & 0xffff_ffffn) | (n < 4 ? 0n : wide);
  if (random.chance(2)) d.cr4 |= 8;
  return [
    ...(d.bits === 16 ? [0x66, 0xb8, ...littleEndian(wanted, 4)] : load(d, AX, wanted)),
    ...[0x0f, 0x23, registerForm(n, AX)],
    ...[0x0f, 0x21, registerForm(n, CX)],
    // The handler needs none of them.
    ...[0x0f, 0x21, registerForm(7, DX)],
  ];
}

function msr(random: Random, d: Draft): number[] {
  const number = random.chance(4) ? 0xc000_0080 : random.pick(MSRS);
  let value = random.pick([...CANONICAL, BigInt(random.u32())]);
  // TCG checks neither that addresses are canonical nor that LME stays while there is paging.
  if (number === 0xc000_0080) value = BigInt(d.efer ^ random.pick([0, 1, 0x800, 0x801]) ^ (isLong(d.mode) ? 0x400 : 0));
  // TCG keeps 16 bits of SYSENTER_CS.
  if (number === 0x174) value &= 0xffffn;
  if (number === 0x277)
    value = random.pick([0x0007_0406_0007_0406n, 0x0606_0606_0606_0606n, 0x0002_0000_0000_0000n, 0x03n]);
  const move = (register: number, v: bigint): number[] => [
    ...(d.bits === 16 ? [0x66] : []),
    0xb8 + register,
    ...littleEndian(v, 4),
  ];
  const read = [...move(CX, BigInt(number)), 0x0f, 0x32];
  if (random.chance(4)) return read;
  return [
    ...move(CX, BigInt(number)),
    ...move(AX, value & 0xffff_ffffn),
    ...move(DX, value >> 32n),
    0x0f,
    0x30,
    0x0f,
    0x32,
  ];
}

function tableRegister(random: Random, d: Draft): number[] {
  d.gpr[BX] = BigInt(offsetIn(d.mode, PLACE.data + 0x100));
  const prefix = random.chance(3) ? [0x66] : [];
  // Stored, loaded with what was stored, and stored again.
  const n = random.pick([0, 1]);
  const store = [...prefix, 0x0f, 0x01, atBx(d, n)];
  const next = [...load(d, BX, BigInt(offsetIn(d.mode, PLACE.data + 0x200))), 0x0f, 0x01, atBx(d, n)];
  return random.chance(2) ? [...store, 0x0f, 0x01, atBx(d, n + 2), ...next] : store;
}

function misc(random: Random, d: Draft): number[] {
  d.gpr[BX] = BigInt(offsetIn(d.mode, PLACE.data + 0x300));
  const operand = random.chance(3) ? [0x66] : d.bits === 64 && random.chance(3) ? [0x48] : [];
  const word = d.bits === 16 ? 0xfff0n : 0xffff_fff0n;
  return random.pick([
    // LMSW and SMSW, registers and memory.
    [
      ...load(d, AX, (random.u64() & (word - 1n)) | BigInt(random.below(16))),
      0x0f,
      0x01,
      registerForm(6, AX),
      0x0f,
      0x01,
      registerForm(4, CX),
    ],
    [...operand, 0x0f, 0x01, registerForm(4, CX)],
    [0x0f, 0x01, atBx(d, 4)],
    [0x0f, 0x01, atBx(d, 6), 0x0f, 0x20, registerForm(0, CX)],
    [0x0f, 0x06, 0x0f, 0x20, registerForm(0, CX)],
    [0x0f, 0x01, atBx(d, 7)],
    [0x0f, 0x08],
    [0x0f, 0x09],
    [0xf4 - 2, 0xfa],
    [0x0f, 0x01, 0xf8],
    // SLDT and STR.
    [...operand, 0x0f, 0x00, registerForm(0, CX)],
    [...operand, 0x0f, 0x00, registerForm(1, CX)],
    [0x0f, 0x00, atBx(d, random.below(2))],
    // RDFSBASE and its like.
    [
      0xf3,
      ...(operand[0] === 0x48 ? [0x48] : []),
      0x0f,
      0xae,
      registerForm(random.below(4), AX),
      0x0f,
      0x21,
      registerForm(6, CX),
    ],
    [0x0f, 0x01, random.pick([0xca, 0xcb, 0xd0, 0xd1])],
    [0x0f, 0x77 - 0x77 + 0x06],
  ]);
}

export function control(random: Random): Ring0Case {
  const mode = random.pick(MODES);
  const cpl = mode === 'real16' || !random.chance(5) ? 0 : 3;
  const d = draft(random, 'control', {
    mode,
    cpl,
    paging: mode === 'real16' ? 'none' : random.pick(['none', 'legacy', 'pae'] as const),
  });
  if (random.chance(4)) d.cr4 |= 0x800;
  if (random.chance(2)) d.cr4 |= 0x1_0000;
  if (random.chance(4)) d.cr0 |= 8;
  const make = random.pick([controlRegister, controlRegister, debugRegister, msr, msr, tableRegister, misc, misc]);
  d.name = `control ${make.name}`;
  d.code.push(...make(random, d));
  return finish(d);
}
