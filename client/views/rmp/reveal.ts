import * as vscode from 'vscode';
import type { RmpNode } from './nodes.js';
import { nodeSource } from './tree.js';

/**
 * Shows the lines of the manifest that made a page. `keepFocus`: the person walks through the tree and wants to
 * stay there.
 */
export async function revealManifestLine(node: RmpNode | undefined, keepFocus = false): Promise<void> {
  const source = node && nodeSource(node);
  if (!source) {
    vscode.window.setStatusBarMessage('$(info) No line of the manifest made this page', 3000);
    return;
  }
  const document = await vscode.workspace.openTextDocument(source.path);
  const selection = new vscode.Range(source.line, 0, source.endLine, document.lineAt(source.endLine).text.length);
  const editor = await vscode.window.showTextDocument(document, {
    preserveFocus: keepFocus,
    preview: false,
    selection,
  });
  editor.revealRange(selection, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
}
