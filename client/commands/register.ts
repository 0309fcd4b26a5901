import * as vscode from 'vscode';
import { COPY_DIGEST, DEBUG_LAUNCH, REVEAL_FAULT } from '../../server/protocol.js';
import { copyDigest } from './copy-digest.js';
import { debugLaunch } from './debug-launch.js';
import { newManifest } from './new-manifest.js';
import { openSamples } from './open-samples.js';
import { revealFault } from './reveal-fault.js';

export function registerCommands(context: vscode.ExtensionContext): vscode.Disposable {
  const { registerCommand } = vscode.commands;
  return vscode.Disposable.from(
    registerCommand(DEBUG_LAUNCH, debugLaunch),
    registerCommand(COPY_DIGEST, copyDigest),
    registerCommand(REVEAL_FAULT, revealFault),
    registerCommand('sevSnp.newManifest', newManifest),
    registerCommand('sevSnp.openSamples', () => openSamples(context.extensionUri)),
  );
}
