import type { Document } from 'yaml';
import type { Fault } from '../../fault.js';
import { parseWith } from '../grammar/parse.js';
import type { LineIndex } from '../text.js';
import { buildTree } from './build-tree.js';
import { MANIFEST_SCHEMA } from './schema.js';
import type { ManifestTree } from './tree.js';

export interface ParsedManifest {
  /** As the caller named the document. */
  readonly file: string;
  readonly text: string;
  readonly tree: ManifestTree;
  readonly problems: readonly Fault[];
  readonly document: Document.Parsed;
  readonly lines: LineIndex;
}

/** Any text gives a tree and a list of problems, each at its range in `file`. Never throws. */
export function parseManifest(text: string, file: string): ParsedManifest {
  const { context, root, document, lines } = parseWith(MANIFEST_SCHEMA, text, file);
  const tree = buildTree(context, root);
  return { file, text, tree, problems: context.problems, document, lines };
}
