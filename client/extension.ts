import * as vscode from 'vscode';
import type { SnpWorkbenchApi } from './api.js';
import { registerCommands } from './commands/register.js';
import { registerDebug } from './debug/register.js';
import { Sessions } from './debug/sessions.js';
import { loadStarted } from './load-time.js';
import { registerRmpView } from './views/rmp/view.js';

let stopLanguageClient: (() => Promise<void>) | undefined;

export function activate(context: vscode.ExtensionContext): SnpWorkbenchApi {
  const activateStarted = performance.now();
  const sessions = new Sessions();
  context.subscriptions.push(sessions, registerDebug(), registerCommands(context));
  const rmp = registerRmpView(context, sessions);
  // The client library takes longer to load than everything else here: load it once the editor is served.
  const timer = setImmediate(() => void startLanguageClient(context));
  context.subscriptions.push({ dispose: () => clearImmediate(timer) });
  return { rmp, activationTime: loadTime + performance.now() - activateStarted };
}

export async function deactivate(): Promise<void> {
  await stopLanguageClient?.();
}

async function startLanguageClient(context: vscode.ExtensionContext): Promise<void> {
  try {
    const { createLanguageClient } = await import('./language-client.js');
    const client = createLanguageClient(context.asAbsolutePath('dist/server.js'));
    context.subscriptions.push(client.listeners);
    stopLanguageClient = client.stop;
    await client.start();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    void vscode.window.showErrorMessage(`SEV-SNP Workbench: the language server did not start: ${reason}`);
  }
}

// Between loading and `activate` VS Code fetches the extension's state: that time is not ours.
const loadTime = performance.now() - loadStarted;
