import { nativeCrypto } from '../../platform/native-crypto.js';
import { type Analysis, analyse, fixesOf } from '../../server/analysis.js';
import type { Fix } from '../../server/rules/rule.js';
import { type MemoryFiles, memoryFiles } from './memory-files.js';

/** Analyses `text` as /ws/test.snp.yaml (or as a policy file) over files in memory. */
export function check(
  text: string,
  files: MemoryFiles | Readonly<Record<string, Uint8Array | string>> = {},
  path = '/ws/test.snp.yaml',
): Analysis {
  const source = isFiles(files) ? files : memoryFiles(files);
  return analyse({ text, path, files: source, crypto: nativeCrypto });
}

function isFiles(value: unknown): value is MemoryFiles {
  return typeof (value as MemoryFiles).findFirmware === 'function';
}

/** "check «text it stands at»", in the order of the text; what the tables of the tests compare. */
export function findings(analysis: Analysis): string[] {
  return analysis.faults.map((fault) => {
    const at = fault.at;
    const where = at?.file === analysis.path ? analysis.text.slice(at.range.start, at.range.end) : at?.file;
    return `${fault.check} «${(where ?? '').split('\n')[0]}»`;
  });
}

/** The text after the quick fix of this title (or the preferred one) of this check. */
export function fixed(analysis: Analysis, check: string, title?: string | RegExp): string {
  const fixes = analysis.faults.filter((f) => f.check === check).flatMap((f) => fixesOf(analysis, f));
  const fix = fixes.find((f) =>
    title === undefined ? true : typeof title === 'string' ? f.title === title : title.test(f.title),
  );
  if (!fix) throw new Error(`no fix for ${check}; there are: ${fixes.map((f) => f.title).join(', ')}`);
  return apply(analysis.text, fix);
}

export function apply(text: string, fix: Fix): string {
  const changes = [...fix.changes].sort((a, b) => b.range.start - a.range.start);
  return changes.reduce((t, c) => t.slice(0, c.range.start) + c.newText + t.slice(c.range.end), text);
}
