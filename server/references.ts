import type { Location } from 'vscode-languageserver';
import type { Fault, TextRange } from '../engine/fault.js';
import type { ManifestTree } from '../engine/launch/manifest/tree.js';
import { createLineIndex } from '../engine/launch/text.js';
import type { Analysis } from './analysis.js';
import { rangeOf } from './features/ranges.js';
import { uriOfPath } from './features/uris.js';

/** A file that the manifest names. */
export interface FileReference {
  readonly path: string;
  readonly range: TextRange;
}

export function fileReferences(tree: ManifestTree): readonly FileReference[] {
  const found: FileReference[] = [];
  const add = (field: { readonly value: string; readonly range: TextRange } | undefined): void => {
    if (field) found.push({ path: field.value, range: field.range });
  };
  const policy = tree.launch?.policy;
  if (policy?.value.kind === 'file') found.push({ path: policy.value.path, range: policy.range });
  for (const update of tree.launch?.update ?? []) {
    switch (update.kind) {
      case 'firmware':
        if (update.path.value !== 'auto') add(update.path);
        add(update.kernel);
        add(update.initrd);
        break;
      case 'igvm':
        add(update.path);
        break;
      case 'pages':
      case 'vmsa':
        add(update.file);
        break;
    }
  }
  const block = tree.launch?.finish?.idBlock;
  if (block?.value.kind === 'file') found.push({ path: block.value.path, range: block.range });
  const auth = tree.launch?.finish?.idAuth;
  if (auth?.value.kind === 'file') found.push({ path: auth.value.path, range: auth.range });
  return found;
}

/** Where a fault is shown in the analysed document, and its own place when that is in another file. */
export function locate(fault: Fault, analysis: Analysis): { readonly range: TextRange; readonly elsewhere?: Location } {
  const at = fault.at;
  if (!at) return { range: { start: 0, end: 0 } };
  if (at.file === analysis.path) return { range: at.range };
  const references = analysis.manifest ? fileReferences(analysis.manifest.tree) : [];
  const read = (path: string) => analysis.context?.files.read(path, analysis.path);
  for (const reference of references) {
    const result = read(reference.path);
    if (!result) continue;
    const resolved = result.ok ? result.file.path : result.path;
    if (resolved !== at.file && reference.path !== at.file) continue;
    if (!result.ok) return { range: reference.range };
    const lines = createLineIndex(new TextDecoder().decode(result.file.bytes));
    return {
      range: reference.range,
      elsewhere: { uri: uriOfPath(resolved), range: rangeOf(lines, at.range) },
    };
  }
  return { range: { start: 0, end: 0 } };
}
