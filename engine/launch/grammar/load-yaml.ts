import { type Document, LineCounter, parseDocument, YAMLParseError } from 'yaml';
import { defineFault, type Fault, makeFault } from '../../fault.js';
import { createLineIndex, type LineIndex } from '../text.js';

/** Characters; a launch manifest has some thousand. */
export const MAX_TEXT_LENGTH = 1 << 20;
/** Nested collections; the deepest place of the grammar is 7. */
export const MAX_NESTING = 64;

export const MANIFEST_TOO_LARGE = defineFault<{ length: number; limit: number }>({
  check: 'manifest-too-large',
  layer: 'manifest',
  command: 'YAML',
  code: { kind: 'input' },
  title: 'Manifest or policy file too large',
  message: (o) => `This file has ${o.length} characters; manifests and policies of up to ${o.limit} are read.`,
  why: 'A manifest names files and addresses; contents belong in the files that it names. Such a size is a wrong file, and reading it at every key stroke would stop the editor.',
  hint: 'Check that this is the file you mean; move contents into files of their own and name them with `file:`.',
  reference: 'SEV-SNP Workbench, launch manifest',
  confirmed: true,
});

export const MANIFEST_BINARY = defineFault<{ offset: number; code: string }>({
  check: 'manifest-binary',
  layer: 'manifest',
  command: 'YAML',
  code: { kind: 'input' },
  title: 'Not a text file',
  message: (o) =>
    `The character ${o.code} at offset ${o.offset} cannot stand in a YAML file: this looks like binary data.`,
  why: 'YAML streams consist of printable characters (YAML 1.2.2, section 5.1). A NUL or another control character means that a firmware image or an ID block was opened as a manifest, or that the text is in UTF-16.',
  hint: 'Open the manifest instead of the binary file, or save the text as UTF-8.',
  reference: 'YAML 1.2.2, section 5.1',
  confirmed: true,
});

export const MANIFEST_TOO_DEEP = defineFault<{ limit: number }>({
  check: 'manifest-too-deep',
  layer: 'manifest',
  command: 'YAML',
  code: { kind: 'input' },
  title: 'Nested too deeply',
  message: (o) => `Lists or maps are nested more than ${o.limit} levels deep here.`,
  why: 'The grammar needs seven levels. Deeper nesting is a slip of brackets or a hostile file; the text is not read further.',
  hint: 'Remove the superfluous brackets or indentation.',
  reference: 'SEV-SNP Workbench, launch manifest',
  confirmed: true,
});

export const MANIFEST_YAML_SYNTAX = defineFault<{ code: string; detail: string }>({
  check: 'manifest-yaml-syntax',
  layer: 'manifest',
  command: 'YAML',
  code: { kind: 'input' },
  title: 'YAML syntax error',
  message: (o) => o.detail,
  why: 'The file is YAML 1.2 (JSON is YAML, too). What the YAML parser cannot read has no meaning; the rest of the file is checked as far as it can be.',
  hint: (o) =>
    YAML_HINTS[o.code] ?? 'Correct the YAML: check indentation, colons, quotes and brackets near this place.',
  reference: 'YAML 1.2.2',
  confirmed: true,
});

const YAML_HINTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'Indent with spaces: YAML does not allow tabs.',
  BAD_INDENT: 'Give all keys of one map the same indentation.',
  MISSING_CHAR: 'Add the missing character: a colon, a quote or a closing bracket.',
  BAD_ALIAS: 'Write the value out, or define its anchor (`&name`) before this alias.',
  BAD_DQ_ESCAPE: 'Double the backslash, or use single quotes.',
  MULTIPLE_DOCS: 'Remove the `---` line: one file describes one launch.',
};

const YAML_MESSAGES: Readonly<Record<string, string>> = {
  MULTIPLE_DOCS: 'The file contains more than one YAML document.',
  RESOURCE_EXHAUSTION: 'The YAML parser gave up: the file is nested too deeply.',
};

export interface LoadedYaml {
  readonly document: Document.Parsed;
  readonly lines: LineIndex;
  readonly problems: readonly Fault[];
  /** Start of the line with the first syntax error; what the document has from there on is a guess. */
  readonly brokenAt?: number;
}

/** Reads YAML and never throws: what cannot be read becomes a problem and the document is empty from there. */
export function loadYaml(text: string, file: string): LoadedYaml {
  const problems: Fault[] = [];
  const lines = createLineIndex(text);
  const at = (start: number, end: number) => ({
    file,
    range: { start: Math.min(start, text.length), end: Math.min(Math.max(start, end), text.length) },
  });

  let readable = text;
  if (text.length > MAX_TEXT_LENGTH) {
    const operands = { length: text.length, limit: MAX_TEXT_LENGTH };
    problems.push(makeFault(MANIFEST_TOO_LARGE, operands, { at: at(0, 1) }));
    readable = '';
  }
  const control = CONTROL.exec(readable);
  if (control) {
    const code = `U+${control[0].charCodeAt(0).toString(16).padStart(4, '0').toUpperCase()}`;
    const operands = { offset: control.index, code };
    problems.push(makeFault(MANIFEST_BINARY, operands, { at: at(control.index, control.index + 1) }));
    readable = '';
  }
  const deep = tooDeepAt(readable);
  if (deep !== undefined) {
    problems.push(makeFault(MANIFEST_TOO_DEEP, { limit: MAX_NESTING }, { at: at(deep, deep + 1) }));
    readable = '';
  }

  const document = parse(readable);
  for (const error of [...document.errors, ...document.warnings].slice(0, 50)) {
    const operands = { code: error.code, detail: YAML_MESSAGES[error.code] ?? firstSentence(error.message) };
    // At least one character, so that there is something to underline at the end of the file.
    const start = Math.max(0, Math.min(error.pos[0], text.length - 1));
    problems.push(makeFault(MANIFEST_YAML_SYNTAX, operands, { at: at(start, Math.max(error.pos[1], start + 1)) }));
  }
  const [error] = document.errors;
  if (!error) return { document, lines, problems };
  const { line } = lines.positionAt(error.pos[0]);
  return { document, lines, problems, brokenAt: lines.offsetAt({ line, character: 0 }) };
}

function parse(text: string): Document.Parsed {
  const options = {
    intAsBigInt: true,
    keepSourceTokens: true,
    lineCounter: new LineCounter(),
    prettyErrors: false,
    // Checked by ours, in linear time and with a better text.
    uniqueKeys: false,
    // Not 'silent', which would hide a second document.
    logLevel: 'error',
    version: '1.2',
  } as const;
  try {
    return parseDocument(text, options) as Document.Parsed;
  } catch (error) {
    // The composer recurses: what slips through the nesting check ends as a RangeError of the stack.
    const empty = parseDocument('', options) as Document.Parsed;
    const detail = error instanceof Error ? error.message : String(error);
    empty.errors.push(new YAMLParseError([0, 1], 'IMPOSSIBLE', `The YAML parser gave up: ${detail}`));
    return empty;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;

/**
 * Offset at which collections nest deeper than MAX_NESTING, before the recursive parser sees them: brackets
 * outside of quotes, `- - - ` runs and indentation. A cheap upper estimate; real manifests stay far below.
 */
function tooDeepAt(text: string): number | undefined {
  let flow = 0;
  let lineStart = true;
  let indents: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '\n' || c === '\r') {
      lineStart = true;
      continue;
    }
    if (lineStart && c !== ' ' && flow === 0) {
      let column = i - (Math.max(text.lastIndexOf('\n', i), text.lastIndexOf('\r', i)) + 1);
      indents = indents.filter((indent) => indent < column);
      indents.push(column);
      // Each "- " and "? " on the line opens a level.
      let j = i;
      while ((text[j] === '-' || text[j] === '?') && (text[j + 1] === ' ' || text[j + 1] === '\t')) {
        j++;
        while (text[j] === ' ' || text[j] === '\t') j++;
        column = j;
        indents.push(column);
        if (indents.length > MAX_NESTING) return j;
      }
      if (indents.length > MAX_NESTING) return i;
    }
    if (c !== ' ') lineStart = false;
    if (c === '[' || c === '{') {
      flow++;
      if (flow > MAX_NESTING) return i;
    } else if ((c === ']' || c === '}') && flow > 0) flow--;
  }
  return undefined;
}

function firstSentence(message: string): string {
  const line = message.split('\n')[0] ?? message;
  return line.endsWith('.') ? line : `${line}.`;
}
