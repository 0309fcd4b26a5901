import * as vscode from 'vscode';

/** Called by the code lens that shows the live digest. */
export async function copyDigest(digest?: unknown): Promise<void> {
  if (typeof digest !== 'string' || digest === '') {
    void vscode.window.showInformationMessage(
      'No digest yet: open a launch manifest and use the line above "launch:".',
    );
    return;
  }
  await vscode.env.clipboard.writeText(digest);
  vscode.window.setStatusBarMessage('$(check) Launch digest copied', 3000);
}
