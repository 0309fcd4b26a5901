import type { Random } from '../random.js';
import { ARENA, CONTROL, PLACE } from './layout.js';
import type { Patch } from './ring0-case.js';

/**
 * Page tables that map the runner and the arena one to one, and a window at 1 GiB onto the same memory whose entries
 * generators change: an address in the window plus the physical address, whatever the page's size.
 */

export type Paging = 'none' | 'legacy' | 'pae' | 'long';

export const WINDOW = 0x4000_0000;
/** The same window through the last entry of the root, in long mode. */
export const HIGH_WINDOW = 0xffff_ff80_4000_0000n;

export const ENTRY = {
  present: 1n,
  write: 2n,
  user: 4n,
  accessed: 0x20n,
  dirty: 0x40n,
  large: 0x80n,
  global: 0x100n,
  noExecute: 1n << 63n,
} as const;

const table = (place: number): bigint => BigInt(ARENA + place);
const PD = PLACE.tables + 0x1000;
const PT = PLACE.tables + 0x2000;
export const WINDOW_PD = PLACE.windowTables;
export const WINDOW_PT = PLACE.windowTables + 0x1000;

export interface Tables {
  readonly patches: Patch[];
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
}

function words(at: number, values: readonly bigint[], bytes: 4 | 8): Patch {
  const out = new Uint8Array(values.length * bytes);
  const view = new DataView(out.buffer);
  for (const [n, value] of values.entries()) {
    if (bytes === 8) view.setBigUint64(8 * n, value, true);
    else view.setUint32(4 * n, Number(value), true);
  }
  return { at, bytes: out };
}

/** Entries of the first 128 KiB: the runner is the supervisor's, and code, data and stack of user mode are the user's. */
function identity(random: Random, cpl: number): bigint[] {
  return Array.from({ length: 32 }, (_, page) => {
    const place = page * 0x1000 - ARENA;
    // Below the stacks: exceptions that raise exceptions come to an end here.
    if ((place >= PLACE.guard && place < PLACE.stacks) || page * 0x1000 === CONTROL_PAGE) return 0n;
    const forUser = cpl === 3 && place >= PLACE.code;
    const used = random.chance(2) || place < PLACE.code ? ENTRY.accessed | ENTRY.dirty : 0n;
    return BigInt(page * 0x1000) | 3n | (forUser ? ENTRY.user : 0n) | used;
  });
}

const ALL = 7n;
/** The runner uses it without paging. */
const CONTROL_PAGE = CONTROL.total & ~0xfff;

export function pageTables(random: Random, paging: Paging, cpl: number): Tables {
  if (paging === 'none') return { patches: [], cr0: 0, cr3: 0, cr4: 0, efer: 0 };
  const cr3 = ARENA + PLACE.root;
  const entries = identity(random, cpl);
  const cr0 = 0x8000_0000 | (random.chance(2) ? 0x1_0000 : 0);
  if (paging === 'legacy') {
    const patches = [
      words(PLACE.root, [table(PT) | ALL], 4),
      words(PLACE.root + 4 * (WINDOW >>> 22), [table(WINDOW_PT) | ALL], 4),
      words(PT, entries, 4),
      words(WINDOW_PT, entries, 4),
    ];
    return { patches, cr0, cr3, cr4: 0x10, efer: 0 };
  }
  const shared = [
    words(PD, [table(PT) | ALL], 8),
    words(PT, entries, 8),
    words(WINDOW_PD, [table(WINDOW_PT) | ALL], 8),
    words(WINDOW_PT, entries, 8),
  ];
  const nx = random.chance(4) ? 0 : 0x800;
  if (paging === 'pae') {
    const patches = [words(PLACE.root, [table(PD) | 1n, table(WINDOW_PD) | 1n], 8), ...shared];
    return { patches, cr0, cr3, cr4: 0x20, efer: nx };
  }
  const pdpt = PLACE.tables;
  const patches = [
    words(PLACE.root, [table(pdpt) | ALL], 8),
    words(PLACE.root + 8 * 511, [table(pdpt) | ALL], 8),
    words(pdpt, [table(PD) | ALL, table(WINDOW_PD) | ALL], 8),
    ...shared,
  ];
  return { patches, cr0, cr3, cr4: 0x20, efer: 0x100 | nx };
}
