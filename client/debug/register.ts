import * as vscode from 'vscode';
import { CONTEXT_MANIFEST, DEBUG_TYPE } from '../ids.js';
import { ConfigurationProvider, DynamicConfigurations, isManifest } from './configuration.js';
import { followGuestCode } from './disassembly.js';
import { showLaunchProblems } from './launch-problem.js';

/** The adapter itself is a program of its own, named in package.json: nothing of it runs here. */
export function registerDebug(): vscode.Disposable {
  markManifest(vscode.window.activeTextEditor);
  return vscode.Disposable.from(
    vscode.window.onDidChangeActiveTextEditor(markManifest),
    showLaunchProblems(),
    followGuestCode(),
    vscode.debug.registerDebugConfigurationProvider(DEBUG_TYPE, new ConfigurationProvider()),
    vscode.debug.registerDebugConfigurationProvider(
      DEBUG_TYPE,
      new DynamicConfigurations(),
      vscode.DebugConfigurationProviderTriggerKind.Dynamic,
    ),
  );
}

/** For `when` clauses: `editorLangId` is empty as soon as the focus is in a view. */
function markManifest(editor: vscode.TextEditor | undefined): void {
  void vscode.commands.executeCommand(
    'setContext',
    CONTEXT_MANIFEST,
    editor !== undefined && isManifest(editor.document),
  );
}
