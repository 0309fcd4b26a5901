import * as assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { SnpWorkbenchApi } from '../../client/api.js';

const EXTENSION = 'sev-snp-workbench.sev-snp-workbench';

export function extension(): vscode.Extension<SnpWorkbenchApi> {
  const found = vscode.extensions.getExtension<SnpWorkbenchApi>(EXTENSION);
  assert.ok(found, `${EXTENSION} is not installed`);
  return found;
}

export function fixture(name: string): vscode.Uri {
  const folder = vscode.workspace.workspaceFolders?.[0];
  assert.ok(folder, 'no workspace is open');
  return vscode.Uri.joinPath(folder.uri, name);
}

export async function open(name: string): Promise<vscode.TextEditor> {
  return vscode.window.showTextDocument(await vscode.workspace.openTextDocument(fixture(name)));
}

/** Asks until the answer is what is wanted; fails with the last answer after `seconds`. */
export async function eventually<T>(
  what: string,
  ask: () => T | undefined | PromiseLike<T | undefined>,
  wanted: (value: T) => boolean = () => true,
  seconds = 20,
): Promise<T> {
  let last: T | undefined;
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    last = await ask();
    if (last !== undefined && wanted(last)) return last;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`${what}: not within ${seconds} s; last seen: ${JSON.stringify(last)}`);
}

/** Line of the fixture that contains `text`, zero-based. */
export function lineOf(document: vscode.TextDocument, text: string): number {
  const line = document
    .getText()
    .split('\n')
    .findIndex((each) => each.includes(text));
  assert.notEqual(line, -1, `no line with ${text}`);
  return line;
}
