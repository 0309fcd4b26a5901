import * as vscode from 'vscode';
import type { RmpPage, RmpRange, RmpRangesResponse } from '../../../debug-adapter/protocol.js';
import { changeUri } from './decorations.js';
import { stateIcon } from './icons.js';
import { fieldNodes, nodeId, PAGES_AT_A_TIME, pageNodes, type RmpNode, rangeNodes, stateNodes } from './nodes.js';
import type { RmpSource } from './source.js';
import { nodeChanges, nodeDescription, nodeLabel, nodeSpoken, nodeTooltip } from './text.js';

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

  /** `position` in events when new data has come; undefined when there is none. */
  constructor(private readonly onLoaded: (position: number | undefined) => void = () => {}) {}

  /** Shows another RMP, or none. */
  show(source: RmpSource | undefined): void {
    this.source = source;
    this.last = undefined;
    this.limits.clear();
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

  async getChildren(node?: RmpNode): Promise<RmpNode[]> {
    const source = this.source;
    if (!source) {
      this.onLoaded(undefined);
      return [];
    }
    switch (node?.kind) {
      case undefined:
        return this.roots(source);
      case 'state':
        return rangeNodes(node.ranges, true);
      case 'range':
        return pageNodes(node.range, await this.pages(source, node.range));
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

  /** The page whose manifest line stands for this node. */
  async firstPage(node: RmpNode): Promise<RmpPage | undefined> {
    if (node.kind === 'page' || node.kind === 'field') return node.page;
    if (node.kind !== 'range') return undefined;
    const source = this.source;
    return source && (await unlessRunning(source.pages(node.range.start, 1)))?.[0];
  }

  private async roots(source: RmpSource): Promise<RmpNode[]> {
    const answer = await unlessRunning(source.ranges());
    // Another session may have been chosen meanwhile; its own question is under way.
    if (source !== this.source) return [];
    this.last = answer ?? this.last;
    this.onLoaded(this.last?.position);
    const ranges = this.last?.ranges ?? [];
    return this.grouped ? stateNodes(ranges) : rangeNodes(ranges);
  }

  private async pages(source: RmpSource, range: RmpRange): Promise<readonly RmpPage[]> {
    const count = Math.min(range.pages, this.limits.get(range.start) ?? PAGES_AT_A_TIME);
    return (await unlessRunning(source.pages(range.start, count))) ?? [];
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

function collapsibility(node: RmpNode): vscode.TreeItemCollapsibleState {
  switch (node.kind) {
    case 'state':
      return vscode.TreeItemCollapsibleState.Expanded;
    case 'range':
    case 'page':
      return vscode.TreeItemCollapsibleState.Collapsed;
    case 'more':
    case 'field':
      return vscode.TreeItemCollapsibleState.None;
  }
}
