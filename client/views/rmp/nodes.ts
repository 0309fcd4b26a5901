/**
 * The tree of the RMP view as data, without VS Code: what lies below what. Ranges of equal entries unfold to
 * pages, pages to the fields of their entry.
 */
import type { PageState, RmpPage, RmpRange } from '../../../debug-adapter/protocol.js';

export type RmpNode =
  | { readonly kind: 'state'; readonly state: PageState; readonly ranges: readonly RmpRange[] }
  /** `grouped`: below a node that already names the state. */
  | { readonly kind: 'range'; readonly range: RmpRange; readonly grouped: boolean }
  | { readonly kind: 'page'; readonly page: RmpPage }
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
      return `range ${node.range.start}`;
    case 'page':
      return `page ${node.page.spa}`;
    case 'more':
      return `more ${node.range.start} ${node.shown}`;
    case 'field':
      return `field ${node.page.spa} ${node.name}`;
  }
}

export function rangeNodes(ranges: readonly RmpRange[], grouped = false): RmpNode[] {
  return ranges.map((range) => ({ kind: 'range', range, grouped }));
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
export function pageNodes(range: RmpRange, pages: readonly RmpPage[]): RmpNode[] {
  const nodes: RmpNode[] = pages.map((page) => ({ kind: 'page', page }));
  if (pages.length < range.pages) nodes.push({ kind: 'more', range, shown: pages.length });
  return nodes;
}

export function fieldNodes(page: RmpPage): RmpNode[] {
  const raw: RmpNode = { kind: 'field', page, name: 'raw entry', value: page.raw };
  return [...page.fields.map(({ name, value }): RmpNode => ({ kind: 'field', page, name, value })), raw];
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
