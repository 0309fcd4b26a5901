import type { TextRange } from '../../fault.js';
import type { ShellWord } from './shell-words.js';

/** One `key=value` of an option's argument. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly range: TextRange;
  readonly valueRange: TextRange;
  /** Written without `=`: `on`, as QEMU still takes it. */
  readonly short: boolean;
}

/**
 * Splits `a,b=c,,d,e` at single commas; two stand for one in a value. The first part without `=` is the value of
 * `implied`. QEMU util/keyval.c keyval_parse_one().
 */
export function parseKeyValues(word: ShellWord, implied?: string): readonly KeyValue[] {
  const { text } = word;
  const found: KeyValue[] = [];
  let at = 0;
  while (at < text.length) {
    const first = at === 0;
    const equals = /[=,]/.exec(text.slice(at));
    const end = equals ? at + equals.index : text.length;
    const name = text.slice(at, end);
    if (equals?.[0] === '=') {
      const value = valueFrom(text, end + 1);
      const range = rangeIn(word, at, value.end);
      found.push({ key: name, value: value.text, range, valueRange: rangeIn(word, end + 1, value.end), short: false });
      at = value.end + 1;
      continue;
    }
    if (first && implied !== undefined) {
      const value = valueFrom(text, at);
      const range = rangeIn(word, at, value.end);
      found.push({ key: implied, value: value.text, range, valueRange: range, short: false });
      at = value.end + 1;
      continue;
    }
    const range = rangeIn(word, at, end);
    if (name !== '') found.push({ key: name, value: 'on', range, valueRange: range, short: true });
    at = end + 1;
  }
  return found;
}

function valueFrom(text: string, start: number): { readonly text: string; readonly end: number } {
  let value = '';
  let at = start;
  for (; at < text.length; at++) {
    if (text.charAt(at) !== ',') value += text.charAt(at);
    else if (text.charAt(at + 1) === ',') {
      value += ',';
      at++;
    } else break;
  }
  return { text: value, end: at };
}

/** Where characters `start` to `end` of a word stand in the text. */
export function rangeIn(word: ShellWord, start: number, end: number): TextRange {
  const from = word.offsets[start] ?? word.range.end;
  const last = word.offsets[end - 1];
  return { start: from, end: Math.max(from, last === undefined ? from : last + 1) };
}

/** Doubles commas, so that a value may stand in `key=value`. */
export function escapeCommas(value: string): string {
  return value.replaceAll(',', ',,');
}
