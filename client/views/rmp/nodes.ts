/**
 * The tree of the RMP view as data, without VS Code: what lies below what. Ranges of equal entries unfold to
 * pages, pages to the fields of their entry.
 */
import type { PageState, RmpPage, RmpRange } from '../../../debug-adapter/protocol.js';
import type { RangeRow } from './unfolded.js';

export type RmpNode =
  | { readonly kind: 'state'; readonly state: PageState; readonly ranges: readonly RmpRange[] }
  /** `grouped`: below a node that already names the state. */
  | { readonly kind: 'range'; readonly range: RmpRange; readonly grouped: boolean; readonly row?: RangeRow }
  | { readonly kind: 'page'; readonly page: RmpPage; readonly unfolded?: boolean }
  | { readonly kind: 'more'; readonly range: RmpRange; readonly shown: number }
  | { readonly kind: 'field'; readonly page: RmpPage; readonly name: string; readonly value: string };

/** Pages that a range shows at first, and that each "more" adds. */
export const PAGES_AT_A_TIME = 256;

/** Bytes. An RMP entry of a 2 MiB page still covers its 4 KiB frames one by one. */
export const PAGE_SIZE = 4096n;

/** Unique in the tree and stable from stop to stop, so that VS Code keeps what is unfolded. */
export function nodeId(node: RmpNode): string {
  switch (node.kind) {
    case 'state':
      return `state ${node.state}`;
    case 'range':
      return `range ${node.range.start}${node.row?.turn ? ` ${node.row.turn}` : ''}`;
    case 'page':
      return `page ${node.page.spa}`;
    case 'more':
      return `more ${node.range.start} ${node.shown}`;
    case 'field':
      return `field ${node.page.spa} ${node.name}`;
  }
}

/** `rows`: how the ranges stand in the tree, by their first address. */
export function rangeNodes(
  ranges: readonly RmpRange[],
  grouped = false,
  rows?: ReadonlyMap<string, RangeRow>,
): RmpNode[] {
  return ranges.map((range) => {
    const row = rows?.get(range.start);
    return { kind: 'range', range, grouped, ...(row ? { row } : {}) };
  });
}

/** One node for each page state that occurs, in the order of its first range. */
export function stateNodes(ranges: readonly RmpRange[]): RmpNode[] {
  const byState = new Map<PageState, RmpRange[]>();
  for (const range of ranges) {
    const list = byState.get(range.state);
    if (list) list.push(range);
    else byState.set(range.state, [range]);
  }
  return [...byState].map(([state, list]) => ({ kind: 'state', state, ranges: list }));
}

/** The pages shown of a range, and the node that shows more if there are more. */
export function pageNodes(range: RmpRange, pages: readonly RmpPage[], unfolded?: ReadonlySet<string>): RmpNode[] {
  const nodes: RmpNode[] = pages.map((page) => ({ kind: 'page', page, unfolded: unfolded?.has(page.spa) ?? false }));
  if (pages.length < range.pages) nodes.push({ kind: 'more', range, shown: pages.length });
  return nodes;
}

export function fieldNodes(page: RmpPage): RmpNode[] {
  const raw: RmpNode = { kind: 'field', page, name: 'raw entry', value: page.raw };
  return [...page.fields.map(({ name, value }): RmpNode => ({ kind: 'field', page, name, value })), raw];
}

/** The row to show after a step: the guest's first change, else the first one at all. */
export function changedRange(ranges: readonly RmpRange[]): RmpRange | undefined {
  const changed = ranges.filter((range) => range.changed > 0);
  return changed.find((range) => range.asid > 0) ?? changed[0];
}

/** Address that "Copy Address" puts on the clipboard. */
export function nodeAddress(node: RmpNode): string | undefined {
  switch (node.kind) {
    case 'range':
      return node.range.start;
    case 'page':
    case 'field':
      return node.page.spa;
    case 'state':
    case 'more':
      return undefined;
  }
}
