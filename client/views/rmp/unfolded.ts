/**
 * What is unfolded, across stops at which ranges split, merge and move. VS Code keeps the state of a row by its id;
 * a range that begins elsewhere is a new row for it, so it must be told anew. Pure.
 */
import type { RmpRange } from '../../../debug-adapter/protocol.js';
import { PAGE_SIZE, PAGES_AT_A_TIME, type RmpNode } from './nodes.js';

/** How a range stands in the tree. */
export interface RangeRow {
  readonly unfolded: boolean;
  /** Part of the id: a row that VS Code knows as folded needs another one to appear unfolded. */
  readonly turn: number;
}

export interface Unfolded {
  /** The ranges of the present tree by their first address. */
  rows: ReadonlyMap<string, RangeRow & { readonly pages: number }>;
  /** First addresses of those that a person has unfolded or folded since, with their new state. */
  readonly toggled: Map<string, boolean>;
  /** Addresses of pages whose fields are shown. */
  readonly pages: Set<string>;
}

export function createUnfolded(): Unfolded {
  return { rows: new Map(), toggled: new Map(), pages: new Set() };
}

/** A person has unfolded or folded a row. */
export function toggle(unfolded: Unfolded, node: RmpNode, open: boolean): void {
  if (node.kind === 'range') unfolded.toggled.set(node.range.start, open);
  if (node.kind !== 'page') return;
  if (open) unfolded.pages.add(node.page.spa);
  else unfolded.pages.delete(node.page.spa);
}

/**
 * The rows of a new stop: unfolded is each range that holds a page which was on show. `limits`: pages on show by
 * the first address of their range, where it is not the usual number.
 */
export function arrange(
  unfolded: Unfolded,
  ranges: readonly RmpRange[],
  limits: ReadonlyMap<string, number>,
): ReadonlyMap<string, RangeRow> {
  const before = unfolded.rows;
  const isOpen = (start: string) => unfolded.toggled.get(start) ?? before.get(start)?.unfolded ?? false;
  const shown = [...before]
    .filter(([start]) => isOpen(start))
    .map(([start, { pages }]) => {
      const first = BigInt(start);
      return { first, end: first + BigInt(Math.min(pages, limits.get(start) ?? PAGES_AT_A_TIME)) * PAGE_SIZE };
    });
  const rows = new Map<string, RangeRow & { readonly pages: number }>();
  for (const { start, pages } of ranges) {
    const first = BigInt(start);
    const end = first + BigInt(pages) * PAGE_SIZE;
    const open = shown.some((part) => part.first < end && first < part.end);
    const known = before.get(start);
    const turn = (known?.turn ?? 0) + (known && open && !isOpen(start) ? 1 : 0);
    rows.set(start, { unfolded: open, turn, pages });
  }
  unfolded.rows = rows;
  unfolded.toggled.clear();
  return rows;
}
