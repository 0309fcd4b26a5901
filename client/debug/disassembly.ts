import * as vscode from 'vscode';
import { FIRST_GUEST_FRAME } from '../../debug-adapter/protocol.js';
import { DEBUG_TYPE } from '../ids.js';

/**
 * Code of the guest has no source: when a session comes to it from elsewhere its disassembly opens. Who closes that
 * again is left alone until the session has been in the host's functions once more. When the session is over its
 * disassembly means nothing any more, and the manifest comes back.
 */
export function followGuestCode(): vscode.Disposable {
  const inGuest = new WeakSet<vscode.DebugSession>();
  return vscode.Disposable.from(
    vscode.debug.onDidChangeActiveStackItem((item) => {
      // While it runs there is no frame.
      if (!(item instanceof vscode.DebugStackFrame) || item.session.type !== DEBUG_TYPE) return;
      const { session, frameId } = item;
      if (frameId < FIRST_GUEST_FRAME) {
        inGuest.delete(session);
        return;
      }
      if (inGuest.has(session)) return;
      inGuest.add(session);
      if (session.configuration['openDisassembly'] === false) return;
      void vscode.commands.executeCommand('debug.action.openDisassemblyView');
    }),
    vscode.debug.onDidTerminateDebugSession((session) => {
      if (session.type === DEBUG_TYPE && inGuest.has(session) && isUnknownEditorActive()) void showManifest(session);
    }),
  );
}

/** The Disassembly View is an editor of which the API tells nothing. */
function isUnknownEditorActive(): boolean {
  const { activeTab } = vscode.window.tabGroups.activeTabGroup;
  return activeTab !== undefined && activeTab.input === undefined;
}

async function showManifest({ configuration }: vscode.DebugSession): Promise<void> {
  await vscode.window.showTextDocument(vscode.Uri.file(String(configuration['manifest'])), { preserveFocus: true });
}
