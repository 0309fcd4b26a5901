import type { Fault } from '../../engine/fault.js';
import { createLineIndex, type LineIndex } from '../../engine/launch/text.js';

/** One-based, as compilers print; columns count UTF-16 units. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

/** A document that faults can point into. */
export interface SourceText {
  readonly path: string;
  readonly text: string;
  readonly lines: LineIndex;
}

/** Finds the text of a path, for positions in other files than the one that was checked. */
export type Sources = (path: string) => SourceText | undefined;

export function sourceText(path: string, text: string): SourceText {
  return { path, text, lines: createLineIndex(text) };
}

export function placeOf(fault: Fault, sources: Sources): Place | undefined {
  if (!fault.at) return undefined;
  const source = sources(fault.at.file);
  if (!source) return { file: fault.at.file, line: 1, column: 1, endLine: 1, endColumn: 1 };
  const start = source.lines.positionAt(fault.at.range.start);
  const end = source.lines.positionAt(Math.max(fault.at.range.start, fault.at.range.end));
  return {
    file: fault.at.file,
    line: start.line + 1,
    column: start.character + 1,
    endLine: end.line + 1,
    endColumn: end.character + 1,
  };
}

/** The text of a one-based line, without its end. */
export function lineText(source: SourceText, line: number): string {
  const start = source.lines.offsetAt({ line: line - 1, character: 0 });
  const end = source.lines.offsetAt({ line, character: 0 });
  return source.text.slice(start, end).replace(/[\r\n]+$/, '');
}
