import { dirname } from 'node:path';
import {
  type Connection,
  DidChangeWatchedFilesNotification,
  type Disposable,
  type FileSystemWatcher,
} from 'vscode-languageserver';
import { uriOfPath } from './features/uris.js';

export interface FileWatch {
  /** Watches the folders of these files, and no others. */
  watch(paths: ReadonlySet<string>): void;
}

/**
 * Asks the client to report changes of the files that open documents refer to. Only their folders are watched:
 * a pattern over the whole workspace would report every build.
 */
export function createFileWatch(connection: Connection, relativePatterns: boolean): FileWatch {
  let current = '';
  let registration: Promise<Disposable> | undefined;
  return {
    watch(paths) {
      const folders = [...new Set([...paths].map((path) => dirname(path)))].sort();
      const key = folders.join('\0');
      if (key === current) return;
      current = key;
      const watchers: FileSystemWatcher[] = relativePatterns
        ? folders.map((folder) => ({ globPattern: { baseUri: uriOfPath(folder), pattern: '*' } }))
        : [{ globPattern: '**/*' }];
      const previous = registration;
      registration = connection.client.register(DidChangeWatchedFilesNotification.type, { watchers });
      registration.catch(() => undefined);
      previous?.then((old) => old.dispose()).catch(() => undefined);
    },
  };
}

export const NO_WATCH: FileWatch = { watch: () => undefined };
