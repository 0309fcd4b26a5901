import { type CompletionItem, CompletionItemKind, type Range } from 'vscode-languageserver';
import type { FieldSchema, ValueSchema } from '../../engine/launch/grammar/schema.js';
import type { ListFolder } from '../folder-listing.js';

/** Whether a value is, or may be, the path of a file. */
export function isPath(value: ValueSchema): boolean {
  switch (value.kind) {
    case 'text':
      return value.form === 'path';
    case 'choice':
      return value.scalars.some(isPath);
    default:
      return false;
  }
}

/** Files that usually stand at a key come first. */
const USUAL: Readonly<Record<string, RegExp>> = {
  policy: /\.snp-policy\.(ya?ml|json)$/i,
  firmware: /\.fd$/i,
  igvm: /\.igvm$/i,
};

/** The entries of the folder that is typed so far; a folder asks for its own entries at once. */
export function pathItems(
  field: FieldSchema | undefined,
  typed: string,
  range: Range,
  document: string,
  list: ListFolder,
): CompletionItem[] {
  const cut = typed.lastIndexOf('/') + 1;
  const lead = typed.slice(0, cut);
  const entries = list(lead === '' ? '.' : lead, document) ?? [];
  const usual = USUAL[field?.key ?? ''];
  return entries.map(({ name, folder }) => {
    const text = `${lead}${name}${folder ? '/' : ''}`;
    const rank = folder ? '2' : usual?.test(name) ? '1' : usual ? '3' : '1';
    return {
      label: folder ? `${name}/` : name,
      kind: folder ? CompletionItemKind.Folder : CompletionItemKind.File,
      filterText: text,
      sortText: `p${rank}${name}`,
      textEdit: { range, newText: text },
      ...(folder ? { command: { title: 'Suggest', command: 'editor.action.triggerSuggest' } } : {}),
    };
  });
}
