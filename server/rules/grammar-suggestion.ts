/**
 * Quick fixes for problems of the grammar: a misspelled key or value whose right spelling is known is replaced
 * by it, a duplicate or unknown key can be removed, and a missing one can be added.
 */
import type { Fault } from '../../engine/fault.js';
import type { Fix, FixContext, Rule } from './rule.js';

export const grammarSuggestion: Rule = { name: 'grammar-suggestion', fixes };

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  if (!fault.check.startsWith('manifest-') || fault.at?.file !== context.path) return [];
  const suggestion = fault.operands['suggestion'];
  if (typeof suggestion !== 'string' || suggestion === '') return [];
  const { range } = fault.at;
  const quote = /^["']/.exec(context.text.slice(range.start, range.end))?.[0] ?? '';
  const newText = `${quote}${suggestion}${quote}`;
  return [
    {
      title: `Change to ${suggestion}`,
      preferred: true,
      changes: [{ file: context.path, range, newText }],
    },
  ];
}
