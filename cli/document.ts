import { relative, resolve, sep } from 'node:path';
import { defineFault } from '../engine/fault.js';
import { documentKind } from '../engine/launch/document-kind.js';
import type { FileSource } from '../engine/launch/file-source.js';

/** For readers of --json, who want a fault also when there is no text that one could point into. */
export const MANIFEST_UNREADABLE = defineFault<{ path: string; problem: string }>({
  check: 'manifest-unreadable',
  layer: 'manifest',
  command: 'launch manifest',
  code: { kind: 'input' },
  title: 'Launch manifest cannot be read',
  message: (o) => `\`${o.path}\` ${o.problem}.`,
  why: 'A launch begins with its manifest, which names everything else that is read.',
  hint: 'Name a launch manifest (*.snp.yaml) that exists and that you may read.',
  reference: 'SEV-SNP Workbench, launch manifest',
  confirmed: true,
});

/** A manifest is typed by people; a larger file is something else. */
const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;

export type ReadDocument =
  | { readonly ok: true; readonly path: string; readonly text: string }
  | { readonly ok: false; readonly path: string; readonly message: string };

/** Reads a manifest or policy file named on the command line. */
export function readDocument(name: string, files: FileSource): ReadDocument {
  const path = resolve(name);
  const read = files.read(path, path);
  if (!read.ok) return { ok: false, path, message: `cannot be read: ${read.detail}` };
  const { bytes } = read.file;
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    return {
      ok: false,
      path,
      message: `has ${bytes.length} bytes, which is more than a launch manifest or policy file may have (${MAX_DOCUMENT_BYTES})`,
    };
  }
  return { ok: true, path, text: new TextDecoder('utf-8').decode(bytes) };
}

/** Like readDocument, for the commands that need a launch manifest. */
export function readManifest(name: string, files: FileSource): ReadDocument {
  if (documentKind(name) === 'policy') {
    return { ok: false, path: resolve(name), message: 'is a policy file, and here a launch manifest is needed' };
  }
  return readDocument(name, files);
}

/** As short as possible for people: relative to the current folder if the file is inside. */
export function displayPath(path: string): string {
  const way = relative(process.cwd(), path);
  return way === '' || way.startsWith('..') ? path : way.split(sep).join('/');
}
