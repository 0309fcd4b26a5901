import * as vscode from 'vscode';

/** Called by the code lens of a launch that fails: goes to the line of the first refusal. Zero-based position. */
export async function revealFault(uri: unknown, line: unknown, character: unknown): Promise<void> {
  if (typeof uri !== 'string' || typeof line !== 'number' || typeof character !== 'number') return;
  const at = new vscode.Position(line, character);
  await vscode.window.showTextDocument(vscode.Uri.parse(uri, true), { selection: new vscode.Range(at, at) });
  await vscode.commands.executeCommand('editor.action.showHover', { focus: 'noAutoFocus' });
}
