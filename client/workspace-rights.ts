import * as vscode from 'vscode';

/** What server and adapter may read: all files if the workspace is trusted, else only those in its folders. */
export function workspaceRights(): { trusted: boolean; workspaceFolders: string[] } {
  return {
    trusted: vscode.workspace.isTrusted,
    workspaceFolders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
  };
}
