import * as vscode from 'vscode';
import { ERROR_UNRESOLVABLE } from '../../debug-adapter/protocol.js';
import { DEBUG_TYPE } from '../ids.js';

interface LaunchResponse {
  readonly type?: string;
  readonly command?: string;
  readonly success?: boolean;
  readonly body?: {
    readonly error?: {
      readonly id?: number;
      readonly format?: string;
      readonly variables?: { readonly path?: string; readonly line?: string };
    };
  };
}

/** A manifest that cannot be launched: says why and leads to the line. The editor's own box would offer launch.json. */
export function showLaunchProblems(): vscode.Disposable {
  return vscode.debug.registerDebugAdapterTrackerFactory(DEBUG_TYPE, {
    createDebugAdapterTracker: (session) => ({
      onDidSendMessage: (message: LaunchResponse) => {
        const error = message.body?.error;
        if (message.type !== 'response' || message.command !== 'launch' || message.success !== false) return;
        if (error?.id === ERROR_UNRESOLVABLE) void show(session, error.format ?? '', error.variables ?? {});
      },
    }),
  });
}

async function show(
  session: vscode.DebugSession,
  text: string,
  { path, line }: { readonly path?: string; readonly line?: string },
): Promise<void> {
  const goThere = 'Go to Problem';
  if ((await vscode.window.showErrorMessage(text, goThere)) !== goThere) return;
  const manifest = String(session.configuration['manifest']);
  const at = new vscode.Position(Math.max(0, Number(line ?? 1) - 1), 0);
  await vscode.window.showTextDocument(vscode.Uri.file(path ?? manifest), { selection: new vscode.Range(at, at) });
}
