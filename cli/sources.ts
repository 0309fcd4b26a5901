import type { FileSource } from '../engine/launch/file-source.js';
import { type Sources, type SourceText, sourceText } from './report/place.js';

/** Texts by path: those given, and others (a policy file that a manifest names) as they are on the disk. */
export function createSources(
  files: FileSource,
  given: readonly { readonly path: string; readonly text: string }[],
): Sources {
  const known = new Map<string, SourceText | undefined>(given.map((d) => [d.path, sourceText(d.path, d.text)]));
  return (path) => {
    if (!known.has(path)) {
      const read = files.read(path, path);
      known.set(path, read.ok ? sourceText(path, new TextDecoder().decode(read.file.bytes)) : undefined);
    }
    return known.get(path);
  };
}
