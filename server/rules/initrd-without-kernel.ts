/**
 * Quick fix for `initrd:` or `append:` without `kernel:`. The hash table has entries for all three, but it is
 * written only for a launch with a kernel; without one the other two are silently left out and the digest does not
 * cover them. The keys can be removed with a click.
 */
import type { Fault, TextRange } from '../../engine/fault.js';
import { IMAGE_KERNEL_MISSING } from '../../engine/launch/ovmf/faults.js';
import { firmwareEntries } from './page-entries.js';
import type { Fix, FixContext, Rule, TextChange } from './rule.js';

export const initrdWithoutKernel: Rule = { name: 'initrd-without-kernel', fixes };

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  if (fault.check !== IMAGE_KERNEL_MISSING.check || context.kind !== 'manifest') return [];
  const place = fault.at?.range.start ?? -1;
  const entries = firmwareEntries(context.parsed.tree);
  const entry = entries.find(({ range }) => range.start <= place && place <= range.end);
  if (!entry) return [];
  const changes: TextChange[] = [];
  for (const field of [entry.initrd, entry.append]) {
    const line = field?.key && ownLine(context.text, { start: field.key.start, end: field.range.end });
    if (field && !line) return [];
    if (line) changes.push({ file: context.path, range: line, newText: '' });
  }
  return [{ title: `Remove ${String(fault.operands['given'])}`, changes }];
}

/** The whole line, if the key and its value are alone on it. */
function ownLine(text: string, { start, end }: TextRange): TextRange | undefined {
  const lineStart = text.lastIndexOf('\n', start - 1) + 1;
  const newline = text.indexOf('\n', end);
  const next = newline < 0 ? text.length : newline + 1;
  const alone = text.slice(lineStart, start).trim() === '' && /^[ \t]*(#.*)?\r?\n?$/.test(text.slice(end, next));
  return alone ? { start: lineStart, end: next } : undefined;
}
