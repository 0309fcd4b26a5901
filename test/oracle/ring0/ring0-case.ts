import { CASE, KIND, PLACE } from './layout.js';

/** A case: the machine's state when it begins, and what is in the arena apart from the baseline. */

export type Kind = keyof typeof KIND;

/** Bytes at an offset in the arena. */
export interface Patch {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export interface Ring0Case {
  /** What generated it, and what it does in a few words. */
  readonly name: string;
  readonly kind: Kind;
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly gdtLimit: number;
  readonly idtLimit: number;
  readonly ldtr: number;
  readonly tr: number;
  /** Of DS, ES, FS, GS. */
  readonly data: readonly [number, number, number, number];
  readonly debug: readonly [bigint, bigint, bigint, bigint];
  readonly dr6: number;
  readonly dr7: number;
  readonly fsBase: bigint;
  readonly gsBase: bigint;
  readonly kernelGsBase: bigint;
  readonly star: bigint;
  readonly lstar: bigint;
  readonly cstar: bigint;
  readonly sfmask: bigint;
  /** CS, ESP, EIP. */
  readonly sysenter: readonly [bigint, bigint, bigint];
  readonly fcw: number;
  readonly mxcsr: number;
  /** rax to r15 in the order of their numbers; rsp is in `rsp`. */
  readonly gpr: readonly bigint[];
  readonly rip: bigint;
  readonly cs: number;
  readonly flags: number;
  readonly rsp: bigint;
  readonly ss: number;
  readonly patches: readonly Patch[];
  /** Rows of the table of encodings that it means to execute. */
  readonly rows?: readonly number[];
  /** Flags that no manual defines when it ends. */
  readonly undefinedFlags?: number;
}

export const BASELINE_OF: Readonly<Record<Kind, number>> = { real: 0, legacy: 1, long: 2 };
const POP_ORDER = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 3, 2, 1, 0];
const ARENA_BASE = 0x1_0000;

/** As the runner takes it. */
export function serialize(c: Ring0Case): Uint8Array {
  const padded = c.patches.map(({ at, bytes }) => ({ at, bytes, length: (bytes.length + 3) & ~3 }));
  const size = CASE.fixed + padded.reduce((sum, p) => sum + 8 + p.length, 0);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  const u16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const u32 = (at: number, value: number): void => view.setUint32(at, value >>> 0, true);
  const u64 = (at: number, value: bigint): void => view.setBigUint64(at, BigInt.asUintN(64, value), true);
  u32(CASE.size, size);
  u32(CASE.baseline, BASELINE_OF[c.kind]);
  u32(CASE.kind, KIND[c.kind]);
  u32(CASE.patches, padded.length);
  u64(CASE.cr0, BigInt(c.cr0 >>> 0));
  u64(CASE.cr3, BigInt(c.cr3));
  u64(CASE.cr4, BigInt(c.cr4));
  u64(CASE.efer, BigInt(c.efer));
  u16(CASE.gdtr, c.gdtLimit);
  u64(CASE.gdtr + 2, BigInt(ARENA_BASE + PLACE.gdt));
  u16(CASE.idtr, c.idtLimit);
  u64(CASE.idtr + 2, BigInt(ARENA_BASE + PLACE.idt));
  u32(CASE.ldtr, c.ldtr);
  u32(CASE.tr, c.tr);
  for (const [n, selector] of c.data.entries()) u32(CASE.ds + 4 * n, selector);
  for (const [n, value] of c.debug.entries()) u64(CASE.debug + 8 * n, value);
  u64(CASE.dr6, BigInt(c.dr6 >>> 0));
  u64(CASE.dr7, BigInt(c.dr7 >>> 0));
  u64(CASE.fsBase, c.fsBase);
  u64(CASE.gsBase, c.gsBase);
  u64(CASE.kernelGsBase, c.kernelGsBase);
  for (const [n, value] of [c.star, c.lstar, c.cstar, c.sfmask, ...c.sysenter].entries()) u64(CASE.star + 8 * n, value);
  u32(CASE.fcw, c.fcw);
  u32(CASE.mxcsr, c.mxcsr);
  u32(CASE.far32, Number(c.rip & 0xffff_ffffn));
  u16(CASE.far32 + 4, c.cs);
  u16(CASE.far16, Number(c.rip & 0xffffn));
  u16(CASE.far16 + 2, c.cs);
  u32(CASE.stack32, Number(c.rsp & 0xffff_ffffn));
  u16(CASE.stack32 + 4, c.ss);
  u16(CASE.stack16, Number(c.rsp & 0xffffn));
  u16(CASE.stack16 + 2, c.ss);
  for (const [n, register] of POP_ORDER.entries()) u64(CASE.gpr + 8 * n, c.gpr[register] ?? 0n);
  const frame = [c.rip, BigInt(c.cs), BigInt(c.flags), c.rsp, BigInt(c.ss)];
  for (const [n, value] of frame.entries()) u64(CASE.frame + 8 * n, value);
  let at: number = CASE.fixed;
  for (const { at: offset, bytes, length } of padded) {
    u32(at, offset);
    u32(at + 4, length);
    out.set(bytes, at + 8);
    at += 8 + length;
  }
  return out;
}
