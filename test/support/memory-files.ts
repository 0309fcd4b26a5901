import { posix } from 'node:path';
import type { FileRead, FileSource, FirmwareSearch } from '../../engine/launch/file-source.js';
import type { LoadedFile } from '../../engine/memory/page-bytes.js';

export interface MemoryFiles extends FileSource {
  /** Replaces a file; the next read gives a new object. */
  write(path: string, content: Uint8Array | string): void;
  remove(path: string): void;
}

/** Files in memory under POSIX paths; relative paths are relative to the folder of the document that names them. */
export function memoryFiles(
  content: Readonly<Record<string, Uint8Array | string>> = {},
  options: { readonly firmware?: string; readonly untrusted?: readonly string[] } = {},
): MemoryFiles {
  const files = new Map<string, LoadedFile>();
  const write = (path: string, bytes: Uint8Array | string): void => {
    files.set(path, { path, bytes: typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes });
  };
  for (const [path, bytes] of Object.entries(content)) write(path, bytes);
  return {
    write,
    remove: (path) => {
      files.delete(path);
    },
    read(path, from): FileRead {
      const resolved = posix.resolve(posix.dirname(from), path);
      if (options.untrusted?.some((prefix) => resolved.startsWith(prefix))) {
        return { ok: false, reason: 'untrusted', path: resolved, detail: 'the workspace is not trusted' };
      }
      const file = files.get(resolved);
      if (file) return { ok: true, file };
      const isFolder = [...files.keys()].some((name) => name.startsWith(`${resolved}/`));
      if (isFolder) return { ok: false, reason: 'not-a-file', path: resolved, detail: 'is a directory' };
      return { ok: false, reason: 'missing', path: resolved, detail: 'no such file' };
    },
    findFirmware(): FirmwareSearch {
      if (options.firmware) return { path: options.firmware, tried: [{ path: options.firmware, outcome: 'taken' }] };
      return { tried: [{ path: '/usr/share/OVMF/OVMF.amdsev.fd', outcome: 'no such file' }] };
    },
  };
}
