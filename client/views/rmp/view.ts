import * as vscode from 'vscode';
import type { Sessions } from '../../debug/sessions.js';
import { CONTEXT_GROUPED, CONTEXT_SESSION, RMP_VIEW } from '../../ids.js';
import { registerChangeDecorations } from './decorations.js';
import { nodeAddress, type RmpNode } from './nodes.js';
import { revealManifestLine } from './reveal.js';
import { sessionSource } from './source.js';
import { viewDescription } from './text.js';
import { RmpTree } from './tree.js';

/** The RMP of the current session in the side bar: follows its stops. Returns the tree, for tests. */
export function registerRmpView(context: vscode.ExtensionContext, sessions: Sessions): RmpTree {
  const tree = new RmpTree({
    loaded: (answer) => {
      view.description = answer && viewDescription(answer);
    },
    changed: (node) => void showChange(view, node),
  });
  const view = vscode.window.createTreeView(RMP_VIEW, { treeDataProvider: tree, showCollapseAll: true });
  let shown: string | undefined;

  const follow = () => {
    const session = sessions.current;
    const state = session && sessions.state(session);
    void vscode.commands.executeCommand('setContext', CONTEXT_SESSION, session !== undefined);
    view.message = state === 'running' && session?.id !== shown ? 'The launch is running…' : undefined;
    if (!session) {
      if (shown !== undefined) tree.show(undefined);
      shown = undefined;
    } else if (state === 'stopped') {
      if (session.id === shown) tree.refresh();
      else tree.show(sessionSource(session));
      shown = session.id;
    }
  };

  const group = (byState: boolean) => {
    tree.group(byState);
    void context.workspaceState.update(CONTEXT_GROUPED, byState);
    void vscode.commands.executeCommand('setContext', CONTEXT_GROUPED, byState);
  };

  const { registerCommand } = vscode.commands;
  context.subscriptions.push(
    view,
    registerChangeDecorations(),
    view.onDidExpandElement(({ element }) => tree.toggled(element, true)),
    view.onDidCollapseElement(({ element }) => tree.toggled(element, false)),
    sessions.onDidChange(follow),
    registerCommand('sevSnp.refreshRmp', () => tree.refresh()),
    registerCommand('sevSnp.rmpGroupByState', () => group(true)),
    registerCommand('sevSnp.rmpSortByAddress', () => group(false)),
    registerCommand('sevSnp.rmpMore', (node: RmpNode) => tree.more(node)),
    registerCommand('sevSnp.copyAddress', (node?: RmpNode) => copyAddress(node ?? view.selection[0])),
    registerCommand('sevSnp.revealManifestLine', (node?: RmpNode, keepFocus?: unknown) =>
      revealManifestLine(node ?? view.selection[0], keepFocus === true),
    ),
  );
  if (context.workspaceState.get(CONTEXT_GROUPED)) group(true);
  return tree;
}

/** Scrolls to the change, for whoever looks at the view; selection and focus stay where they are. */
async function showChange(view: vscode.TreeView<RmpNode>, node: RmpNode): Promise<void> {
  if (!view.visible) return;
  // The row is on its way to the window; revealing it earlier would ask for it twice.
  await new Promise((resolve) => setTimeout(resolve, 50));
  try {
    await view.reveal(node, { select: false, focus: false, expand: false });
  } catch {
    // The next stop has replaced the row already.
  }
}

async function copyAddress(node: RmpNode | undefined): Promise<void> {
  const address = node && nodeAddress(node);
  if (!address) return;
  await vscode.env.clipboard.writeText(address);
  vscode.window.setStatusBarMessage(`$(check) ${address} copied`, 3000);
}
