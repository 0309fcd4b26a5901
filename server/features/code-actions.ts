import { basename } from 'node:path';
import { type CodeAction, CodeActionKind, type Range } from 'vscode-languageserver';
import { createLineIndex } from '../../engine/launch/text.js';
import { type Analysis, fixesOf } from '../analysis.js';
import { locate } from '../references.js';
import type { Fix, TextChange } from '../rules/rule.js';
import { diagnosticOf } from './diagnostics.js';
import { rangeOf } from './ranges.js';
import { uriOfPath } from './uris.js';

/** The quick fixes of every fault that touches `range`. */
export function codeActions(
  analysis: Analysis,
  uri: string,
  range: Range,
  only: readonly string[] | undefined,
): CodeAction[] {
  if (only && !only.some((kind) => CodeActionKind.QuickFix.startsWith(kind))) return [];
  const start = analysis.lines.offsetAt(range.start);
  const end = analysis.lines.offsetAt(range.end);
  const seen = new Set<string>();
  return analysis.faults.flatMap((fault) => {
    const place = locate(fault, analysis).range;
    if (place.start > end || place.end < start) return [];
    return fixesOf(analysis, fault).flatMap((fix): CodeAction[] => {
      const key = JSON.stringify(fix.changes);
      if (seen.has(key)) return [];
      seen.add(key);
      return [
        {
          title: fix.title + elsewhere(fix, analysis),
          kind: CodeActionKind.QuickFix,
          diagnostics: [diagnosticOf(fault, analysis)],
          isPreferred: fix.preferred ?? false,
          edit: { changes: changesOf(fix, analysis, uri) },
        },
      ];
    });
  });
}

/** A fix that changes another document says so. */
function elsewhere(fix: Fix, analysis: Analysis): string {
  const other = fix.changes.find((change) => change.file !== analysis.path);
  return other ? ` in ${basename(other.file)}` : '';
}

function changesOf(fix: Fix, analysis: Analysis, uri: string): Record<string, { range: Range; newText: string }[]> {
  const changes: Record<string, { range: Range; newText: string }[]> = {};
  for (const change of fix.changes) {
    const target = change.file === analysis.path ? uri : uriOfPath(change.file);
    const list = changes[target] ?? [];
    list.push({ range: rangeOf(linesOf(change, analysis), change.range), newText: change.newText });
    changes[target] = list;
  }
  return changes;
}

function linesOf(change: TextChange, analysis: Analysis): Analysis['lines'] {
  if (change.file === analysis.path) return analysis.lines;
  const result = analysis.context?.files.read(change.file, analysis.path);
  return createLineIndex(result?.ok ? new TextDecoder().decode(result.file.bytes) : '');
}
