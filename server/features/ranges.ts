import type { Range } from 'vscode-languageserver';
import type { TextRange } from '../../engine/fault.js';
import type { LineIndex } from '../../engine/launch/text.js';

export function rangeOf(lines: LineIndex, range: TextRange): Range {
  return { start: lines.positionAt(range.start), end: lines.positionAt(range.end) };
}
