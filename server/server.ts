import {
  CodeLensRefreshRequest,
  type Connection,
  type InitializeResult,
  TextDocumentSyncKind,
  TextDocuments,
} from 'vscode-languageserver';
import { TextDocument } from 'vscode-languageserver-textdocument';
import type { Crypto } from '../engine/crypto.js';
import type { FileSource } from '../engine/launch/file-source.js';
import { codeActions } from './features/code-actions.js';
import { codeLenses } from './features/code-lens.js';
import { completions } from './features/completion.js';
import { diagnosticsOf } from './features/diagnostics.js';
import { documentLinks } from './features/document-links.js';
import { hover } from './features/hover.js';
import { pathOfUri } from './features/uris.js';
import { createFileWatch, type FileWatch, NO_WATCH } from './file-watch.js';
import type { ListFolder } from './folder-listing.js';
import { readInitializationOptions, TRUST_GRANTED } from './protocol.js';
import { createScheduler } from './scheduler.js';
import { createAnalysisStore, type OpenDocument } from './store.js';

/** What the process around the server provides. */
export interface ServerHost {
  readonly createFiles: (options: {
    readonly trusted: boolean;
    readonly folders: readonly string[];
    readonly overlay: (path: string) => string | undefined;
  }) => FileSource;
  readonly crypto: Crypto;
  /** For the completion of paths; absent: paths are not completed. */
  readonly createFolderListing?: (folders: readonly string[]) => ListFolder;
  /** Pause in the typing after which a document is checked, in milliseconds. */
  readonly delay?: number;
}

const DEFAULT_DELAY = 80;

/** Wires the handlers onto `connection` and listens. */
export function startServer(connection: Connection, host: ServerHost): void {
  const documents = new TextDocuments(TextDocument);
  let rights = readInitializationOptions(undefined);
  let files = createFiles();
  let listFolder: ListFolder | undefined;
  let watch: FileWatch = NO_WATCH;
  let refreshesLenses = false;

  const store = createAnalysisStore(findDocument, () => files, host.crypto);
  const scheduler = createScheduler(host.delay ?? DEFAULT_DELAY, publish, reportBug);

  function createFiles(): FileSource {
    return host.createFiles({ ...rights, overlay: (path) => findByPath(path)?.getText() });
  }

  function findByPath(path: string): TextDocument | undefined {
    return documents.all().find((document) => pathOfUri(document.uri) === path);
  }

  function findDocument(uri: string): OpenDocument | undefined {
    const document = documents.get(uri);
    return document && { uri, path: pathOfUri(uri), version: document.version, text: document.getText() };
  }

  function reportBug(error: unknown): void {
    connection.console.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }

  function publish(uri: string): void {
    const document = documents.get(uri);
    const analysis = store.get(uri);
    if (!document || !analysis) return;
    void connection.sendDiagnostics({ uri, version: document.version, diagnostics: diagnosticsOf(analysis) });
    const needed = documents.all().flatMap((open) => [...(store.peek(open.uri)?.dependencies ?? [])]);
    watch.watch(new Set(needed));
  }

  function filesChanged(paths: readonly string[]): void {
    const stale = store.invalidate(paths);
    for (const uri of stale) scheduler.schedule(uri);
    if (stale.length > 0) refreshLenses();
  }

  function refreshLenses(): void {
    if (refreshesLenses) connection.sendRequest(CodeLensRefreshRequest.type).catch(() => undefined);
  }

  connection.onInitialize((params): InitializeResult => {
    rights = readInitializationOptions(params.initializationOptions);
    files = createFiles();
    listFolder = host.createFolderListing?.(rights.folders);
    const { workspace } = params.capabilities;
    if (workspace?.didChangeWatchedFiles?.dynamicRegistration) {
      watch = createFileWatch(connection, workspace.didChangeWatchedFiles.relativePatternSupport ?? false);
    }
    refreshesLenses = workspace?.codeLens?.refreshSupport ?? false;
    return {
      serverInfo: { name: 'sev-snp' },
      capabilities: {
        textDocumentSync: TextDocumentSyncKind.Incremental,
        hoverProvider: true,
        codeLensProvider: {},
        completionProvider: { triggerCharacters: [' ', ':', '-', '/', '"', '{', ','] },
        codeActionProvider: { codeActionKinds: ['quickfix'] },
        documentLinkProvider: {},
      },
    };
  });

  connection.onNotification(TRUST_GRANTED, () => {
    rights = { ...rights, trusted: true };
    files = createFiles();
    store.clear();
    for (const document of documents.all()) scheduler.schedule(document.uri);
    refreshLenses();
  });

  documents.onDidChangeContent(({ document }) => {
    scheduler.schedule(document.uri);
    filesChanged([pathOfUri(document.uri)]);
  });

  documents.onDidClose(({ document }) => {
    scheduler.cancel(document.uri);
    store.forget(document.uri);
    void connection.sendDiagnostics({ uri: document.uri, diagnostics: [] });
    filesChanged([pathOfUri(document.uri)]);
  });

  connection.onDidChangeWatchedFiles(({ changes }) => filesChanged(changes.map((change) => pathOfUri(change.uri))));

  connection.onHover(({ textDocument, position }) => {
    const analysis = store.get(textDocument.uri);
    return analysis ? hover(analysis, analysis.lines.offsetAt(position)) : undefined;
  });

  connection.onCodeLens(({ textDocument }) => {
    const analysis = store.get(textDocument.uri);
    return analysis ? codeLenses(analysis, textDocument.uri) : undefined;
  });

  connection.onCompletion(({ textDocument, position }) => {
    const analysis = store.get(textDocument.uri);
    return analysis ? completions(analysis, position, listFolder) : undefined;
  });

  connection.onCodeAction(({ textDocument, range, context }) => {
    const analysis = store.get(textDocument.uri);
    return analysis ? codeActions(analysis, textDocument.uri, range, context.only) : undefined;
  });

  connection.onDocumentLinks(({ textDocument }) => {
    const analysis = store.get(textDocument.uri);
    return analysis ? documentLinks(analysis) : undefined;
  });

  connection.onShutdown(() => scheduler.dispose());
  documents.listen(connection);
  connection.listen();
}
