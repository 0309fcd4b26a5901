import { hex } from '../../address.js';
import { copyBytes, view } from '../../bytes.js';
import { PSC_OPERATION } from '../../spec/ghcb-layout.js';
import { readScratch, writeScratch } from './setup-vmgexit-scratch.js';
import type { Vmgexit } from './vmgexit.js';

/**
 * The list of page state changes in the scratch area: a header of 8 bytes, then entries of 8 bytes. KVM works on the
 * memory that the guest sees, and reads each value once. Linux arch/x86/include/asm/sev-common.h `struct psc_hdr`,
 * `struct psc_entry`.
 */
export interface PscEntry {
  /** 4 KiB pages of the entry that are done. */
  readonly curPage: number;
  readonly gfn: number;
  /** A value of PSC_OPERATION, or another one. */
  readonly operation: number;
  readonly is2M: boolean;
}

export interface PscHeader {
  readonly curEntry: number;
  readonly endEntry: number;
}

const HEADER = 8;
const ENTRY = 8;

/** Undefined: the header does not lie in the scratch area. */
export function readPscHeader(v: Vmgexit): PscHeader | undefined {
  const bytes = readScratch(v, 0, HEADER);
  if (!bytes) return undefined;
  const words = view(bytes);
  return { curEntry: words.getUint16(0, true), endEntry: words.getUint16(2, true) };
}

export function writeCurEntry(v: Vmgexit, value: number): void {
  const bytes = new Uint8Array(2);
  view(bytes).setUint16(0, value & 0xffff, true);
  writeScratch(v, 0, bytes);
}

/** Undefined: the entry does not lie in the scratch area. */
export function readPscEntry(v: Vmgexit, index: number): PscEntry | undefined {
  const bytes = readScratch(v, HEADER + index * ENTRY, ENTRY);
  return bytes && decodePscEntry(view(bytes).getBigUint64(0, true));
}

export function decodePscEntry(value: bigint): PscEntry {
  return {
    curPage: Number(value & 0xfffn),
    gfn: Number((value >> 12n) & 0xff_ffff_ffffn),
    operation: Number((value >> 52n) & 0xfn),
    is2M: ((value >> 56n) & 1n) === 1n,
  };
}

export function encodePscEntry({ curPage, gfn, operation, is2M }: PscEntry): bigint {
  return BigInt(curPage) | (BigInt(gfn) << 12n) | (BigInt(operation) << 52n) | (is2M ? 1n << 56n : 0n);
}

/** Sets cur_page and leaves the rest of the entry as it stands there now. */
export function writeCurPage(v: Vmgexit, index: number, value: number): void {
  const offset = HEADER + index * ENTRY;
  const bytes = readScratch(v, offset, ENTRY);
  if (!bytes) return;
  const changed = copyBytes(bytes);
  const words = view(changed);
  words.setBigUint64(0, (words.getBigUint64(0, true) & ~0xfffn) | BigInt(value), true);
  writeScratch(v, offset, changed);
}

export const isConversion = ({ operation }: PscEntry): boolean =>
  operation === PSC_OPERATION.PRIVATE || operation === PSC_OPERATION.SHARED;

const OPERATIONS: Readonly<Record<number, string>> = { 1: 'private', 2: 'shared', 3: 'PSMASH', 4: 'UNSMASH' };

/** `0x800000 to private, 2M, from page 3`. */
export function describePscEntry({ curPage, gfn, operation, is2M }: PscEntry): string {
  const progress = curPage === 0 ? '' : `, ${curPage} pages done`;
  return `${hex(gfn * 4096)} to ${OPERATIONS[operation] ?? `operation ${operation}`}, ${is2M ? '2M' : '4K'}${progress}`;
}
