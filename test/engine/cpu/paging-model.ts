/**
 * Guest page walks once more, for tests: one function for each format of page tables, with the masks written out, from
 * AMD64 APM vol. 2, chapter 5, and not from the engine.
 */

export interface ModelState {
  readonly mode: 'off' | 'legacy' | 'pae' | 'long';
  readonly cr3: bigint;
  readonly pse: boolean;
  readonly wp: boolean;
  readonly nxe: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  /** Address bits of an entry, the C-bit included. */
  readonly physicalBits: number;
}

export interface ModelRequest {
  readonly linear: bigint;
  readonly access: 'read' | 'write' | 'execute';
  readonly user: boolean;
  readonly alignmentCheck: boolean;
}

/** Entries by their guest-physical address, C-bit included. */
export type Tables = Map<bigint, bigint>;

export type ModelResult =
  | { readonly page: bigint; readonly writable: boolean }
  | { readonly vector: 13 | 14; readonly errorCode: number };

/** One entry of the walk: where it is, and what it says. */
interface Used {
  readonly at: bigint;
  readonly entry: bigint;
  /** Entries of the PAE page-directory-pointer table have neither rights nor A. */
  readonly hasRights: boolean;
}

type Walked = { readonly used: Used[]; readonly page: bigint } | { readonly problem: 'absent' | 'reserved' };

const bit = (word: bigint, n: number): boolean => (word / 2n ** BigInt(n)) % 2n === 1n;
const anyBit = (word: bigint, first: number, last: number): boolean => {
  for (let n = first; n <= last; n++) if (bit(word, n)) return true;
  return false;
};
const field = (linear: bigint, low: number, width: number): bigint =>
  (linear / 2n ** BigInt(low)) % 2n ** BigInt(width);
const roundDown = (n: bigint, unit: bigint): bigint => n - (n % unit);

const SIZE_4K = 4096n;
const SIZE_2M = 0x20_0000n;
const SIZE_4M = 0x40_0000n;
const SIZE_1G = 0x4000_0000n;

const addressOf = (entry: bigint, s: ModelState): bigint => roundDown(entry % 2n ** BigInt(s.physicalBits), SIZE_4K);

/** The page of `linear` within a mapping of `size` bytes that begins at `start`. */
const pageIn = (start: bigint, size: bigint, linear: bigint): bigint =>
  roundDown(start, size) + roundDown(linear % size, SIZE_4K);

/** Figures 5-17 to 5-27: long mode. */
function walkLong(s: ModelState, tables: Tables, linear: bigint): Walked {
  const used: Used[] = [];
  const wrong = (entry: bigint): boolean => anyBit(entry, s.physicalBits, 51) || (bit(entry, 63) && !s.nxe);
  const next = (table: bigint, low: number): bigint | undefined => {
    const at = table + field(linear, low, 9) * 8n;
    const entry = tables.get(at) ?? 0n;
    used.push({ at, entry, hasRights: true });
    return bit(entry, 0) ? entry : undefined;
  };
  const pml4e = next(addressOf(s.cr3, s), 39);
  if (pml4e === undefined) return { problem: 'absent' };
  if (wrong(pml4e) || bit(pml4e, 7) || bit(pml4e, 8)) return { problem: 'reserved' };
  const pdpe = next(addressOf(pml4e, s), 30);
  if (pdpe === undefined) return { problem: 'absent' };
  if (wrong(pdpe)) return { problem: 'reserved' };
  if (bit(pdpe, 7)) {
    if (anyBit(pdpe, 13, 29)) return { problem: 'reserved' };
    return { used, page: pageIn(addressOf(pdpe, s), SIZE_1G, linear) };
  }
  const pde = next(addressOf(pdpe, s), 21);
  if (pde === undefined) return { problem: 'absent' };
  if (wrong(pde)) return { problem: 'reserved' };
  if (bit(pde, 7)) {
    if (anyBit(pde, 13, 20)) return { problem: 'reserved' };
    return { used, page: pageIn(addressOf(pde, s), SIZE_2M, linear) };
  }
  const pte = next(addressOf(pde, s), 12);
  if (pte === undefined) return { problem: 'absent' };
  if (wrong(pte)) return { problem: 'reserved' };
  return { used, page: addressOf(pte, s) };
}

/** Figures 5-10 to 5-15: legacy PAE paging. Bits 62:52 are reserved, and so is NX in the pointer table. */
function walkPae(s: ModelState, tables: Tables, linear: bigint): Walked {
  const used: Used[] = [];
  const wrong = (entry: bigint): boolean => anyBit(entry, s.physicalBits, 62) || (bit(entry, 63) && !s.nxe);
  const next = (table: bigint, low: number, width: number): bigint | undefined => {
    const at = table + field(linear, low, width) * 8n;
    const entry = tables.get(at) ?? 0n;
    used.push({ at, entry, hasRights: low !== 30 });
    return bit(entry, 0) ? entry : undefined;
  };
  const pdpe = next(roundDown(s.cr3 % 2n ** 32n, 32n), 30, 2);
  if (pdpe === undefined) return { problem: 'absent' };
  if (wrong(pdpe) || bit(pdpe, 63) || anyBit(pdpe, 1, 2) || anyBit(pdpe, 5, 8)) return { problem: 'reserved' };
  const pde = next(addressOf(pdpe, s), 21, 9);
  if (pde === undefined) return { problem: 'absent' };
  if (wrong(pde)) return { problem: 'reserved' };
  if (bit(pde, 7)) {
    if (anyBit(pde, 13, 20)) return { problem: 'reserved' };
    return { used, page: pageIn(addressOf(pde, s), SIZE_2M, linear) };
  }
  const pte = next(addressOf(pde, s), 12, 9);
  if (pte === undefined) return { problem: 'absent' };
  if (wrong(pte)) return { problem: 'reserved' };
  return { used, page: addressOf(pte, s) };
}

/** Figures 5-4 to 5-8: entries of 32 bits, no C-bit; a 4 MiB page has address bits 39:32 in bits 20:13. */
function walkLegacy(s: ModelState, tables: Tables, linear: bigint): Walked {
  const used: Used[] = [];
  const next = (table: bigint, low: number): bigint | undefined => {
    const at = table + field(linear, low, 10) * 4n;
    const entry = tables.get(at) ?? 0n;
    used.push({ at, entry, hasRights: true });
    return bit(entry, 0) ? entry : undefined;
  };
  const pde = next(roundDown(s.cr3 % 2n ** 32n, SIZE_4K), 22);
  if (pde === undefined) return { problem: 'absent' };
  if (s.pse && bit(pde, 7)) {
    if (bit(pde, 21)) return { problem: 'reserved' };
    const start = roundDown(pde, SIZE_4M) + field(pde, 13, 8) * 2n ** 32n;
    return { used, page: pageIn(start, SIZE_4M, linear) };
  }
  const pte = next(roundDown(pde, SIZE_4K), 12);
  if (pte === undefined) return { problem: 'absent' };
  return { used, page: roundDown(pte, SIZE_4K) };
}

/** Table 5-5 and 5.6 to 5.8: may this privilege do this with pages under these entries? */
function isAllowed(s: ModelState, r: ModelRequest, access: ModelRequest['access'], used: readonly Used[]): boolean {
  const entries = used.filter((u) => u.hasRights).map((u) => u.entry);
  const writable = entries.every((entry) => bit(entry, 1));
  const userPage = entries.every((entry) => bit(entry, 2));
  const noExecute = s.mode !== 'legacy' && entries.some((entry) => bit(entry, 63));
  if (r.user) {
    if (!userPage) return false;
    return access === 'read' || (access === 'write' ? writable : !noExecute);
  }
  switch (access) {
    case 'execute':
      return !noExecute && !(userPage && s.smep);
    case 'read':
      return !(userPage && s.smap && !r.alignmentCheck);
    case 'write':
      return !(userPage && s.smap && !r.alignmentCheck) && (writable || !s.wp);
  }
}

/** 8.4.2: the error code of #PF. */
function errorCode(s: ModelState, r: ModelRequest, present: boolean, reserved: boolean): number {
  const noExecuteExists = s.nxe && s.mode !== 'legacy';
  let code = 0;
  if (present) code += 1;
  if (r.access === 'write') code += 2;
  if (r.user) code += 4;
  if (reserved) code += 8;
  if (r.access === 'execute' && (noExecuteExists || s.smep)) code += 16;
  return code;
}

/** Translates, and sets A and D in `tables` if the access is allowed. */
export function modelWalk(s: ModelState, tables: Tables, r: ModelRequest): ModelResult {
  if (s.mode === 'off') return { page: roundDown(r.linear % 2n ** 32n, SIZE_4K), writable: true };
  const top = r.linear / 2n ** 47n;
  if (s.mode === 'long' && top !== 0n && top !== 0x1_ffffn) return { vector: 13, errorCode: 0 };
  const walked =
    s.mode === 'long'
      ? walkLong(s, tables, r.linear)
      : s.mode === 'pae'
        ? walkPae(s, tables, r.linear)
        : walkLegacy(s, tables, r.linear);
  if ('problem' in walked) {
    const reserved = walked.problem === 'reserved';
    return { vector: 14, errorCode: errorCode(s, r, reserved, reserved) };
  }
  const { used, page } = walked;
  if (!isAllowed(s, r, r.access, used)) return { vector: 14, errorCode: errorCode(s, r, true, false) };
  const last = used.at(-1);
  for (const u of used) {
    if (!u.hasRights) continue;
    let entry = tables.get(u.at) ?? 0n;
    if (!bit(entry, 5)) entry += 0x20n;
    if (u === last && r.access === 'write' && !bit(entry, 6)) entry += 0x40n;
    tables.set(u.at, entry);
  }
  const dirty = last !== undefined && bit(tables.get(last.at) ?? 0n, 6);
  return { page, writable: dirty && isAllowed(s, r, 'write', used) };
}
