import * as vscode from 'vscode';
import { nodeId, type RmpNode } from './nodes.js';
import { nodeChanges } from './text.js';

const SCHEME = 'sev-snp-rmp';

/** A resource that exists only to carry the decoration of a changed node. */
export function changeUri(node: RmpNode): vscode.Uri {
  return vscode.Uri.from({ scheme: SCHEME, path: `/${nodeId(node)}`, query: String(nodeChanges(node)) });
}

/** The badge at the right edge of what the last step changed. */
export function registerChangeDecorations(): vscode.Disposable {
  return vscode.window.registerFileDecorationProvider({
    provideFileDecoration(uri) {
      if (uri.scheme !== SCHEME) return undefined;
      const color = new vscode.ThemeColor('gitDecoration.modifiedResourceForeground');
      return new vscode.FileDecoration('●', 'Changed since the last stop', color);
    },
  });
}
