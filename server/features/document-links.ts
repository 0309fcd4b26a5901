import type { DocumentLink } from 'vscode-languageserver';
import type { Analysis } from '../analysis.js';
import { fileReferences } from '../references.js';
import { rangeOf } from './ranges.js';
import { uriOfPath } from './uris.js';

/** Text documents that the manifest names lead to them; images are nothing that an editor shows. */
const TEXT = /\.(ya?ml|json|txt|md|S|asm|c|h)$/i;

export function documentLinks(analysis: Analysis): DocumentLink[] {
  const { manifest, context } = analysis;
  if (!manifest || !context) return [];
  return fileReferences(manifest.tree).flatMap((reference) => {
    const result = context.files.read(reference.path, analysis.path);
    if (!result.ok || !TEXT.test(result.file.path)) return [];
    return [{ range: rangeOf(analysis.lines, reference.range), target: uriOfPath(result.file.path) }];
  });
}
