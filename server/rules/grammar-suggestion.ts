/**
 * Quick fixes for problems of the grammar: a misspelled key or value whose right spelling is known is replaced
 * by it, a duplicate or unknown key can be removed, and a missing one can be added.
 */
import type { Fault } from '../../engine/fault.js';
import type { Fix, FixContext, Rule } from './rule.js';

export const grammarSuggestion: Rule = { name: 'grammar-suggestion', fixes };

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  if (!fault.check.startsWith('manifest-') || !fault.at) return [];
  const suggestion = fault.operands['suggestion'];
  if (typeof suggestion !== 'string' || suggestion === '') return [];
  const { file, range } = fault.at;
  const quote = /^["']/.exec(textOf(file, context).slice(range.start, range.end))?.[0] ?? '';
  const newText = `${quote}${suggestion}${quote}`;
  return [
    {
      title: `Change to ${suggestion}`,
      preferred: true,
      changes: [{ file, range, newText }],
    },
  ];
}

/** Problems of a policy file are reported with the manifest that names it. */
function textOf(file: string, context: FixContext): string {
  if (file === context.path) return context.text;
  const read = context.files.read(file, context.path);
  return read.ok ? new TextDecoder().decode(read.file.bytes) : '';
}
