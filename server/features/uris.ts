import { fileURLToPath, pathToFileURL } from 'node:url';

/** The path of a document. Documents that are no files (untitled) get their URI, which no file system has. */
export function pathOfUri(uri: string): string {
  if (!uri.startsWith('file:')) return uri;
  try {
    return fileURLToPath(uri);
  } catch {
    return uri;
  }
}

export function uriOfPath(path: string): string {
  if (/^[a-z][a-z0-9+.-]+:/i.test(path)) return path;
  return pathToFileURL(path).toString();
}
