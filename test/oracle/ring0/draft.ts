import type { Random } from '../random.js';
import { ARENA, PLACE, SELECTOR, STACK_TOP } from './layout.js';
import { type Paging, pageTables } from './page-tables.js';
import type { Patch, Ring0Case } from './ring0-case.js';

/** A case in the making: a working machine in one of the modes, which generators then change. */

export type Mode = 'real16' | 'legacy16' | 'legacy32' | 'compat16' | 'compat32' | 'long64';
export const MODES: readonly Mode[] = ['real16', 'legacy16', 'legacy32', 'compat16', 'compat32', 'long64'];
export const PROTECTED: readonly Mode[] = MODES.slice(1);

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface Draft extends Mutable<Omit<Ring0Case, 'patches' | 'gpr' | 'data' | 'debug'>> {
  readonly mode: Mode;
  /** Bits of addresses and of operands without prefix. */
  readonly bits: 16 | 32 | 64;
  readonly cpl: number;
  readonly paging: Paging;
  readonly gpr: bigint[];
  readonly data: [number, number, number, number];
  readonly debug: [bigint, bigint, bigint, bigint];
  readonly patches: Patch[];
  readonly code: number[];
}

export interface DraftOptions {
  readonly mode: Mode;
  readonly cpl?: number;
  readonly paging?: Paging;
}

/** Where the code of a case begins. */
export const CODE_AT = PLACE.code + 0x100;

export const isLong = (mode: Mode): boolean => mode === 'long64' || mode === 'compat16' || mode === 'compat32';
export const bitsOf = (mode: Mode): 16 | 32 | 64 => (mode === 'long64' ? 64 : mode.endsWith('32') ? 32 : 16);

/** Offset that reaches a place of the arena in the mode's ordinary segments. */
export const offsetIn = (mode: Mode, place: number): number => (bitsOf(mode) === 16 ? place : ARENA + place);

const SEGMENTS: Readonly<
  Record<Exclude<Mode, 'real16'>, readonly [code: number, data: number, userCode: number, userData: number]>
> = {
  legacy16: [SELECTOR.arenaCode16, SELECTOR.data16, SELECTOR.userCode16, SELECTOR.userData16],
  legacy32: [SELECTOR.code32, SELECTOR.data, SELECTOR.userCode32, SELECTOR.userData],
  compat16: [SELECTOR.arenaCode16, SELECTOR.data16, SELECTOR.userCode16, SELECTOR.userData16],
  compat32: [SELECTOR.code32, SELECTOR.data, SELECTOR.userCode32, SELECTOR.userData],
  long64: [SELECTOR.code64, SELECTOR.data, SELECTOR.userCode64, SELECTOR.userData],
};

const selectors = (mode: Mode, cpl: number): readonly [code: number, data: number] => {
  if (mode === 'real16') return [ARENA >> 4, ARENA >> 4];
  const [code, data, userCode, userData] = SEGMENTS[mode];
  if (cpl === 0) return [code, data];
  if (cpl === 1) return [SELECTOR.code32Ring1 | 1, SELECTOR.dataRing1 | 1];
  return [userCode | 3, userData | 3];
};

export function draft(random: Random, name: string, { mode, cpl = 0, paging = 'none' }: DraftOptions): Draft {
  const [cs, data] = selectors(mode, cpl);
  const kind = mode === 'real16' ? 'real' : isLong(mode) ? 'long' : 'legacy';
  const used: Paging = kind === 'long' ? 'long' : paging;
  const { patches, cr0, cr3, cr4, efer } = pageTables(random, used, cpl);
  const gpr = Array.from({ length: 16 }, () => (random.chance(3) ? random.u64() : BigInt(random.below(0x1_0000))));
  return {
    name,
    kind,
    mode,
    bits: bitsOf(mode),
    cpl,
    paging: used,
    cr0: 0x30 | (kind === 'real' ? 0 : 1) | cr0,
    cr3,
    cr4: 0x600 | cr4,
    efer: 1 | efer,
    gdtLimit: 0x1ff,
    idtLimit: kind === 'long' ? 0xfff : kind === 'legacy' ? 0x7ff : 0x3ff,
    ldtr: SELECTOR.ldt,
    tr: SELECTOR.tss,
    data: [data, data, data, data],
    debug: [0n, 0n, 0n, 0n],
    dr6: 0xffff_0ff0,
    dr7: 0x400,
    fsBase: 0n,
    gsBase: 0n,
    kernelGsBase: 0x1234_5678_9000n,
    star: 0n,
    lstar: 0n,
    cstar: 0n,
    sfmask: 0n,
    sysenter: [0n, 0n, 0n],
    fcw: 0x37f,
    mxcsr: 0x1f80,
    gpr,
    rip: BigInt(offsetIn(mode, CODE_AT)),
    cs,
    flags: 2 | (random.u32() & 0x8d5),
    rsp: BigInt(offsetIn(mode, cpl === 3 ? STACK_TOP.ring3 : STACK_TOP.ring0)),
    ss: data,
    patches,
    code: [],
  };
}

/** The runner copies dwords: no zeros behind the code. */
const INT3_FILL = [0xcc, 0xcc, 0xcc, 0xcc];

/** The case: code is put where it begins. The rest of its page is INT3. */
export function finish(d: Draft): Ring0Case {
  const { mode, bits, cpl, paging, code, patches, ...rest } = d;
  const name = `${rest.name} [${mode} cpl ${cpl} ${paging} ${bits}]`;
  return { ...rest, name, patches: [...patches, { at: CODE_AT, bytes: Uint8Array.from([...code, ...INT3_FILL]) }] };
}

export function patch(d: Draft, at: number, bytes: readonly number[] | Uint8Array): void {
  d.patches.push({ at, bytes: Uint8Array.from(bytes) });
}

export function patchValue(d: Draft, at: number, size: 2 | 4 | 8 | 16, value: bigint): void {
  patch(d, at, littleEndian(value, size));
}

export const littleEndian = (value: bigint | number, size: number): number[] =>
  Array.from({ length: size }, (_, n) => Number((BigInt.asUintN(128, BigInt(value)) >> BigInt(8 * n)) & 0xffn));
