import * as vscode from 'vscode';

/** Copies the sample workspace out of the extension, where it would be lost with the next update, and opens it. */
export async function openSamples(extension: vscode.Uri): Promise<void> {
  const [parent] =
    (await vscode.window.showOpenDialog({
      title: 'Where to put the sample workspace',
      openLabel: 'Copy samples here',
      canSelectFiles: false,
      canSelectFolders: true,
    })) ?? [];
  if (!parent) return;
  const target = vscode.Uri.joinPath(parent, 'sev-snp-samples');
  try {
    await vscode.workspace.fs.copy(vscode.Uri.joinPath(extension, 'samples'), target, { overwrite: false });
  } catch (error) {
    // There from an earlier time: open it as the person left it.
    if (!(error instanceof vscode.FileSystemError && error.code === 'FileExists')) throw error;
  }
  await vscode.commands.executeCommand('vscode.openFolder', target, { forceNewWindow: true });
}
