import { readdirSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path';

export interface FolderEntry {
  readonly name: string;
  readonly folder: boolean;
}

/** Lists a folder for the completion of paths: `path` as written in the document `from`. Undefined: not to be seen. */
export type ListFolder = (path: string, from: string) => readonly FolderEntry[] | undefined;

const MAX_ENTRIES = 1000;

/**
 * Only folders inside the workspace are listed, trusted or not: what lies elsewhere is nothing that a document
 * needs to be told of while somebody types. Hidden entries are left out.
 */
export function createFolderListing(folders: readonly string[]): ListFolder {
  return (path, from) => {
    try {
      const folder = resolve(dirname(from), path);
      // Merely resolving a UNC path makes Windows log on to the server that it names.
      if (folder.startsWith('\\\\') && !folders.some((each) => isInside(folder, each))) return undefined;
      const real = realpathSync.native(folder);
      if (!folders.some((each) => isInside(real, realpathSync.native(each)))) return undefined;
      return readdirSync(real, { withFileTypes: true })
        .filter((entry) => !entry.name.startsWith('.') && (entry.isFile() || entry.isDirectory()))
        .slice(0, MAX_ENTRIES)
        .map((entry) => ({ name: entry.name, folder: entry.isDirectory() }));
    } catch {
      return undefined;
    }
  };
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (!isAbsolute(way) && way !== '..' && !way.startsWith(`..${sep}`));
}
