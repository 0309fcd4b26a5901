import { ThemeColor, ThemeIcon } from 'vscode';
import type { PageState } from '../../../debug-adapter/protocol.js';
import type { RmpNode } from './nodes.js';

/** Codicon and theme colour of each state; the state is also spelled out in the description. */
const ICONS: Readonly<Record<PageState, readonly [icon: string, color?: string]>> = {
  Default: ['circle-outline'],
  Hypervisor: ['server'],
  'HV-Fixed': ['pinned'],
  Firmware: ['circuit-board', 'charts.purple'],
  Reclaim: ['discard', 'charts.orange'],
  Context: ['key', 'charts.purple'],
  Metadata: ['tag', 'charts.purple'],
  'Pre-Guest': ['lock', 'charts.yellow'],
  'Pre-Swap': ['archive', 'charts.yellow'],
  'Guest-Invalid': ['unverified', 'charts.red'],
  'Guest-Valid': ['verified', 'charts.green'],
};

export function stateIcon(node: RmpNode): ThemeIcon | undefined {
  switch (node.kind) {
    case 'state':
      return icon(node.state);
    case 'range':
      return icon(node.range.state);
    case 'page':
      return icon(node.page.state);
    case 'more':
      return new ThemeIcon('ellipsis');
    case 'field':
      return undefined;
  }
}

function icon(state: PageState): ThemeIcon {
  const [name, color] = ICONS[state];
  return new ThemeIcon(name, color ? new ThemeColor(color) : undefined);
}
