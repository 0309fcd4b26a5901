import * as vscode from 'vscode';
import {
  LanguageClient,
  type LanguageClientOptions,
  type ServerOptions,
  TransportKind,
} from 'vscode-languageclient/node';
import { type InitializationOptions, TRUST_GRANTED } from '../server/protocol.js';
import { MANIFEST_GLOB, MANIFEST_LANGUAGE, POLICY_GLOB, POLICY_LANGUAGE } from './ids.js';
import { workspaceRights } from './workspace-rights.js';

export interface RunningLanguageClient {
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
  readonly listeners: vscode.Disposable;
}

/** The client of the language server, not yet started. `module`: path of the server's bundle. */
export function createLanguageClient(module: string): RunningLanguageClient {
  const debugOptions = { execArgv: ['--nolazy', '--inspect=6009'] };
  const server: ServerOptions = {
    run: { module, transport: TransportKind.ipc },
    debug: { module, transport: TransportKind.ipc, options: debugOptions },
  };
  const client = new LanguageClient('sevSnp', 'SEV-SNP Workbench', server, clientOptions());
  const listeners = vscode.Disposable.from(
    vscode.workspace.onDidGrantWorkspaceTrust(() => client.sendNotification(TRUST_GRANTED)),
    // The server learns at its start which folders it may read.
    vscode.workspace.onDidChangeWorkspaceFolders(() => client.restart()),
  );
  return {
    listeners,
    start: () => client.start(),
    stop: async () => {
      if (client.needsStop()) await client.stop();
    },
  };
}

function clientOptions(): LanguageClientOptions {
  return {
    // By name as well as by language: a person may have bound these files to the language of YAML or JSON.
    documentSelector: [
      { scheme: 'file', language: MANIFEST_LANGUAGE },
      { scheme: 'file', language: POLICY_LANGUAGE },
      { scheme: 'file', pattern: MANIFEST_GLOB },
      { scheme: 'file', pattern: POLICY_GLOB },
    ],
    initializationOptions: (): InitializationOptions => {
      const { trusted, workspaceFolders } = workspaceRights();
      return { trusted, folders: workspaceFolders };
    },
  };
}
