import * as vscode from 'vscode';
import { isManifest, launchConfiguration } from '../debug/configuration.js';

/** Debugs a manifest: the given one (code lens, editor title, explorer), or the one in the active editor. */
export async function debugLaunch(target?: unknown): Promise<void> {
  const uri = toUri(target) ?? activeManifestUri();
  if (!uri) {
    void vscode.window.showInformationMessage('Open a launch manifest (*.snp.yaml) to debug it.');
    return;
  }
  const folder = vscode.workspace.getWorkspaceFolder(uri);
  await vscode.debug.startDebugging(folder, launchConfiguration(uri.fsPath));
}

function toUri(target: unknown): vscode.Uri | undefined {
  if (target instanceof vscode.Uri) return target;
  return typeof target === 'string' ? vscode.Uri.parse(target, true) : undefined;
}

function activeManifestUri(): vscode.Uri | undefined {
  const document = vscode.window.activeTextEditor?.document;
  return document && isManifest(document) ? document.uri : undefined;
}
