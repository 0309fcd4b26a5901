import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import type { FileRead } from '../engine/launch/file-source.js';
import { inheritDigests, type LoadedFile } from '../engine/memory/page-bytes.js';

/** Larger files are refused: an initrd of this size is possible, a sensible one is smaller. */
export const MAX_FILE_BYTES = 512 * 1024 * 1024;

/** Up to this size a file may be a firmware image or a page source, whose page digests are worth keeping. */
const MAX_PAGED_BYTES = 64 * 1024 * 1024;

export interface FileReader {
  read(path: string): FileRead;
}

export interface FileReaderOptions {
  /** Bytes. */
  readonly maxFileBytes?: number;
  /** Bytes of file content kept in memory, least recently used out first. */
  readonly maxCachedBytes?: number;
}

interface Entry {
  readonly version: string;
  readonly file: LoadedFile;
}

/**
 * Reads whole files and keeps them while path, inode, size and time stamps are the same: an unchanged file is
 * the same object, and a changed one inherits the digests of its equal pages.
 */
export function createFileReader(options: FileReaderOptions = {}): FileReader {
  const maxFile = options.maxFileBytes ?? MAX_FILE_BYTES;
  const maxCached = options.maxCachedBytes ?? 2 * MAX_FILE_BYTES;
  const entries = new Map<string, Entry>();
  let cached = 0;

  function keep(path: string, entry: Entry): void {
    cached += entry.file.bytes.length;
    entries.set(path, entry);
    for (const [oldPath, old] of entries) {
      if (cached <= maxCached || oldPath === path) break;
      drop(oldPath, old);
    }
  }

  function drop(path: string, entry: Entry): void {
    entries.delete(path);
    cached -= entry.file.bytes.length;
  }

  return {
    read(path) {
      const known = entries.get(path);
      let version: string;
      try {
        // Before open: opening a device or a pipe may block or have effects.
        const stat = statSync(path, { bigint: true });
        if (!stat.isFile()) return refuse('not-a-file', path, whatIs(stat));
        if (stat.size > BigInt(maxFile)) return tooLarge(path, stat.size, maxFile);
        version = `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
      } catch (error) {
        if (known) drop(path, known);
        return systemError(path, error);
      }
      if (known?.version === version) {
        entries.delete(path);
        entries.set(path, known);
        return { ok: true, file: known.file };
      }
      const loaded = load(path, maxFile);
      if (known) drop(path, known);
      if (!loaded.ok) return loaded;
      const { bytes } = loaded.file;
      if (known && bytes.length <= MAX_PAGED_BYTES) inheritDigests(known.file.bytes, bytes);
      keep(path, { version, file: loaded.file });
      return loaded;
    },
  };
}

function load(path: string, maxFile: number): FileRead {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) return refuse('not-a-file', path, whatIs(stat));
    if (stat.size > maxFile) return tooLarge(path, stat.size, maxFile);
    // Only as many bytes as the size says: files of /proc have size 0 and may never end.
    const bytes = new Uint8Array(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const n = readSync(descriptor, bytes, length, bytes.length - length, length);
      if (n === 0) break;
      length += n;
    }
    return { ok: true, file: { path, bytes: length === bytes.length ? bytes : bytes.slice(0, length) } };
  } catch (error) {
    return systemError(path, error);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

type Reason = Extract<FileRead, { ok: false }>['reason'];

export function refuse(reason: Reason, path: string, detail: string): FileRead {
  return { ok: false, reason, path, detail };
}

function tooLarge(path: string, size: number | bigint, limit: number): FileRead {
  return refuse('too-large', path, `the file has ${size} bytes; at most ${limit} are read`);
}

function systemError(path: string, error: unknown): FileRead {
  const code = (error as NodeJS.ErrnoException).code;
  switch (code) {
    case 'ENOENT':
      return refuse('missing', path, 'no such file');
    case 'ENOTDIR':
      return refuse('missing', path, 'a part of the path is not a folder');
    case 'EISDIR':
      return refuse('not-a-file', path, 'it is a folder');
    case 'EACCES':
    case 'EPERM':
      return refuse('unreadable', path, 'permission denied');
    case 'ELOOP':
      return refuse('unreadable', path, 'the symbolic links lead in a circle');
    case 'ENAMETOOLONG':
      return refuse('missing', path, 'the name is too long for the file system');
    default:
      // ERR_INVALID_ARG_VALUE: a NUL in the path.
      if (code === 'ERR_INVALID_ARG_VALUE') return refuse('missing', path, 'the path contains a NUL character');
      return refuse('unreadable', path, error instanceof Error ? error.message : String(error));
  }
}

interface FileKind {
  isDirectory(): boolean;
  isFIFO(): boolean;
  isSocket(): boolean;
}

function whatIs(stat: FileKind): string {
  if (stat.isDirectory()) return 'it is a folder';
  if (stat.isFIFO()) return 'it is a pipe';
  if (stat.isSocket()) return 'it is a socket';
  return 'it is a device';
}
