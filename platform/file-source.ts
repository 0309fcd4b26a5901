import { realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FileRead, FileSource } from '../engine/launch/file-source.js';
import type { LoadedFile } from '../engine/memory/page-bytes.js';
import { createFileReader, type FileReaderOptions, refuse } from './file-reader.js';
import { findFirmware } from './find-firmware.js';

export interface FileSourceOptions extends FileReaderOptions {
  /** False: only files inside `folders` are read. Default true. */
  readonly trusted?: boolean;
  /** Absolute paths of the workspace folders. */
  readonly folders?: readonly string[];
  /** The text of a document that is open in an editor, by absolute path. */
  readonly overlay?: (path: string) => string | undefined;
  /** For `firmware: auto`; default process.env. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Prefix of the system's folders in the search for firmware; for tests. */
  readonly systemRoot?: string;
}

/** The engine's FileSource on the local disk: synchronous, cached, confined to the workspace unless it is trusted. */
export function createFileSource(options: FileSourceOptions = {}): FileSource {
  const trusted = options.trusted ?? true;
  const reader = createFileReader(options);
  const overlays = new Map<string, { readonly text: string; readonly file: LoadedFile }>();
  // The search looks only at fixed places of the system, so its result may be read in any workspace.
  const found = new Set<string>();

  function readOverlay(path: string): FileRead | undefined {
    const text = options.overlay?.(path);
    if (text === undefined) {
      overlays.delete(path);
      return undefined;
    }
    let entry = overlays.get(path);
    if (entry?.text !== text) {
      entry = { text, file: { path, bytes: new TextEncoder().encode(text) } };
      overlays.set(path, entry);
    }
    return { ok: true, file: entry.file };
  }

  return {
    read(path, from) {
      const absolute = resolvePath(path, from);
      if (!trusted && !found.has(absolute)) {
        const refusal = confine(absolute, options.folders ?? []);
        if (refusal) return refusal;
      }
      return readOverlay(absolute) ?? reader.read(absolute);
    },
    findFirmware() {
      const search = findFirmware({
        read: (path) => reader.read(path),
        environment: options.environment,
        systemRoot: options.systemRoot,
      });
      if (search.path !== undefined) found.add(search.path);
      return search;
    },
  };
}

/** Absolute path of `path` as written in the document `from`, which is a path or a `file:` URI. */
export function resolvePath(path: string, from: string): string {
  const document = from.startsWith('file:') ? fileURLToPath(from) : from;
  return resolve(dirname(document), path);
}

function confine(path: string, folders: readonly string[]): FileRead | undefined {
  const untrusted = (detail: string) => refuse('untrusted', path, detail);
  if (folders.length === 0) return untrusted('the workspace is not trusted, and no folder is open');
  // Merely resolving a UNC path makes Windows log on to the server that it names.
  if (path.startsWith('\\\\') && !folders.some((folder) => isInside(path, folder))) {
    return untrusted('the workspace is not trusted, and the path names another computer');
  }
  const real = realPathOf(path);
  if (folders.some((folder) => isInside(real, realPathOf(folder)))) return undefined;
  return untrusted(
    real === path
      ? 'the workspace is not trusted, and the file is outside of it'
      : `the workspace is not trusted, and the path leads out of it to ${real}`,
  );
}

/** Symbolic links resolved as far as the path exists; the rest is taken as it is. */
function realPathOf(path: string): string {
  let existing = path;
  let rest = '';
  for (;;) {
    try {
      return join(realpathSync.native(existing), rest);
    } catch {
      const parent = dirname(existing);
      if (parent === existing) return path;
      rest = join(relative(parent, existing), rest);
      existing = parent;
    }
  }
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (!isAbsolute(way) && way !== '..' && !way.startsWith(`..${sep}`));
}
