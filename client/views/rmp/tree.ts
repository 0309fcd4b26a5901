import * as vscode from 'vscode';
import type { RmpPage, RmpPageSource, RmpRange, RmpRangesResponse } from '../../../debug-adapter/protocol.js';
import { changeUri } from './decorations.js';
import { stateIcon } from './icons.js';
import {
  changedRange,
  fieldNodes,
  nodeId,
  PAGES_AT_A_TIME,
  pageNodes,
  type RmpNode,
  rangeNodes,
  stateNodes,
} from './nodes.js';
import type { RmpSource } from './source.js';
import { nodeChanges, nodeDescription, nodeLabel, nodeSpoken, nodeTooltip } from './text.js';
import { arrange, createUnfolded, type RangeRow, toggle, type Unfolded } from './unfolded.js';

export interface RmpTreeListener {
  /** New data have come, or there are none. */
  readonly loaded?: (answer: RmpRangesResponse | undefined) => void;
  /** The row of what the last step changed, once a stop; it is in the tree. */
  readonly changed?: (node: RmpNode) => void;
}

/** Tree over an `RmpSource`. Asks it only for what is unfolded. */
export class RmpTree implements vscode.TreeDataProvider<RmpNode> {
  private readonly changed = new vscode.EventEmitter<RmpNode | undefined>();
  readonly onDidChangeTreeData = this.changed.event;

  /** Pages to show of a range, by its first address; kept while the session lasts. */
  private readonly limits = new Map<string, number>();
  private source: RmpSource | undefined;
  private grouped = false;
  /** What the last stop showed; stays while the launch runs on. */
  private last: RmpRangesResponse | undefined;

  private unfolded: Unfolded = createUnfolded();
  private rows: ReadonlyMap<string, RangeRow> = new Map();
  /** First address of the range whose change is still to be shown. */
  private toShow: string | undefined;
  private readonly parents = new WeakMap<RmpNode, RmpNode>();

  constructor(private readonly listener: RmpTreeListener = {}) {}

  /** Shows another RMP, or none. */
  show(source: RmpSource | undefined): void {
    this.source = source;
    this.last = undefined;
    this.limits.clear();
    this.unfolded = createUnfolded();
    this.refresh();
  }

  /** The same RMP, at another stop. */
  refresh(): void {
    this.changed.fire(undefined);
  }

  group(byState: boolean): void {
    this.grouped = byState;
    this.refresh();
  }

  more(node: RmpNode): void {
    if (node.kind !== 'more') return;
    this.limits.set(node.range.start, node.shown + PAGES_AT_A_TIME);
    this.refresh();
  }

  /** A person has unfolded or folded a row. */
  toggled(node: RmpNode, open: boolean): void {
    toggle(this.unfolded, node, open);
  }

  getParent(node: RmpNode): RmpNode | undefined {
    return this.parents.get(node);
  }

  async getChildren(node?: RmpNode): Promise<RmpNode[]> {
    const children = await this.childrenOf(node);
    if (node) for (const child of children) this.parents.set(child, node);
    this.showChange(node, children);
    return children;
  }

  private async childrenOf(node: RmpNode | undefined): Promise<RmpNode[]> {
    const source = this.source;
    if (!source) {
      this.listener.loaded?.(undefined);
      return [];
    }
    switch (node?.kind) {
      case undefined:
        return this.roots(source);
      case 'state':
        return rangeNodes(node.ranges, true, this.rows);
      case 'range':
        return pageNodes(node.range, await this.pages(source, node.range), this.unfolded.pages);
      case 'page':
        return fieldNodes(node.page);
      case 'more':
      case 'field':
        return [];
    }
  }

  getTreeItem(node: RmpNode): vscode.TreeItem {
    const item = new vscode.TreeItem(nodeLabel(node), collapsibility(node));
    item.id = nodeId(node);
    item.description = nodeDescription(node);
    item.contextValue = node.kind;
    item.accessibilityInformation = { label: nodeSpoken(node) };
    const tooltip = nodeTooltip(node);
    if (tooltip) item.tooltip = new vscode.MarkdownString(tooltip);
    const icon = stateIcon(node);
    if (icon) item.iconPath = icon;
    if (nodeChanges(node) > 0) item.resourceUri = changeUri(node);
    if (node.kind === 'more') item.command = { command: 'sevSnp.rmpMore', title: 'Show More Pages', arguments: [node] };
    if (node.kind === 'range' || node.kind === 'page') {
      item.command = { command: 'sevSnp.revealManifestLine', title: 'Go to Manifest Line', arguments: [node, true] };
    }
    return item;
  }

  /** The change of the last step, as soon as its row is there: a page if its range is unfolded. */
  private showChange(parent: RmpNode | undefined, children: readonly RmpNode[]): void {
    const row = this.isToShow(parent)
      ? (children.find((node) => node.kind === 'page' && node.page.changed) ?? parent)
      : children.find((node) => this.isToShow(node) && !(node.kind === 'range' && node.row?.unfolded));
    if (!row) return;
    this.toShow = undefined;
    this.listener.changed?.(row);
  }

  private isToShow(node: RmpNode | undefined): boolean {
    return node?.kind === 'range' && node.range.start === this.toShow;
  }

  private async roots(source: RmpSource): Promise<RmpNode[]> {
    const answer = await unlessRunning(source.ranges());
    // Another session may have been chosen meanwhile; its own question is under way.
    if (source !== this.source) return [];
    this.last = answer ?? this.last;
    this.listener.loaded?.(this.last);
    const ranges = this.last?.ranges ?? [];
    this.rows = arrange(this.unfolded, ranges, this.limits);
    this.toShow = changedRange(ranges)?.start;
    return this.grouped ? stateNodes(ranges) : rangeNodes(ranges, false, this.rows);
  }

  private async pages(source: RmpSource, range: RmpRange): Promise<readonly RmpPage[]> {
    const count = Math.min(range.pages, this.limits.get(range.start) ?? PAGES_AT_A_TIME);
    return (await unlessRunning(source.pages(range.start, count))) ?? [];
  }
}

/** The lines of the manifest that made what this row shows. */
export function nodeSource(node: RmpNode): RmpPageSource | undefined {
  switch (node.kind) {
    case 'range':
      return node.range.source;
    case 'page':
    case 'field':
      return node.page.source;
    case 'state':
    case 'more':
      return undefined;
  }
}

/** A session that runs or ends refuses the question; its next stop brings a new one. */
async function unlessRunning<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch {
    return undefined;
  }
}

function foldable(unfolded: boolean | undefined): vscode.TreeItemCollapsibleState {
  return unfolded ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.Collapsed;
}

function collapsibility(node: RmpNode): vscode.TreeItemCollapsibleState {
  switch (node.kind) {
    case 'state':
      return vscode.TreeItemCollapsibleState.Expanded;
    case 'range':
      return foldable(node.row?.unfolded);
    case 'page':
      return foldable(node.unfolded);
    case 'more':
    case 'field':
      return vscode.TreeItemCollapsibleState.None;
  }
}
