import type { TextRange } from '../../fault.js';

/** A word of a command line after quoting, and where each of its characters stands in the text. */
export interface ShellWord {
  readonly text: string;
  readonly range: TextRange;
  /** Offset of each character of `text`; the characters of a variable stand where it is named. */
  readonly offsets: readonly number[];
}

export interface ShellProblem {
  readonly kind: 'quote' | 'variable' | 'substitution';
  /** Name of the variable, or the character that opens. */
  readonly name: string;
  readonly range: TextRange;
}

export interface ShellText {
  /** Simple commands in order, assignments in front of them included. */
  readonly commands: readonly (readonly ShellWord[])[];
  readonly problems: readonly ShellProblem[];
}

const ASSIGNMENT = /^([A-Za-z_]\w*)=([\s\S]*)$/;

/**
 * Splits text into commands and words as a POSIX shell does: quotes, escapes, line continuations, comments,
 * redirections (left out) and variables that the text itself sets. A line that begins with a dash goes on with the
 * command above it even without a backslash: so command lines stand in documents. Never throws.
 */
export function splitShell(text: string): ShellText {
  const state: State = { text, at: 0, commands: [], words: [], problems: [], variables: new Map() };
  while (state.at < text.length) step(state);
  endCommand(state);
  return { commands: state.commands, problems: state.problems };
}

interface OpenWord {
  text: string;
  readonly start: number;
  readonly offsets: number[];
}

interface State {
  readonly text: string;
  at: number;
  readonly commands: ShellWord[][];
  words: ShellWord[];
  word?: OpenWord;
  /** The next word is the target of a redirection. */
  redirected?: boolean;
  readonly problems: ShellProblem[];
  readonly variables: Map<string, string>;
}

function step(state: State): void {
  const { text, at } = state;
  const c = text.charAt(at);
  const newline = newlineAt(text, at + 1);
  if (c === '\\' && newline > 0) state.at += 1 + newline;
  else if (c === '\\' && at + 1 < text.length) {
    add(state, text.charAt(at + 1), at + 1);
    state.at += 2;
  } else if (c === "'") singleQuoted(state);
  else if (c === '"') doubleQuoted(state);
  else if (c === '$' || c === '`') expand(state, false);
  else if (c === ' ' || c === '\t') {
    endWord(state);
    state.at++;
  } else if (newlineAt(text, at) > 0) {
    endWord(state);
    state.at += newlineAt(text, at);
    if (!/^[ \t]*-/.test(text.slice(state.at, state.at + 200)) || state.words.length === 0) endCommand(state);
  } else if (c === '#' && !state.word) {
    const length = text.slice(at).search(/[\r\n]/);
    state.at = length < 0 ? text.length : at + length;
  } else if (c === '>' || c === '<') redirect(state);
  else if (';|&()'.includes(c)) {
    endCommand(state);
    state.at++;
  } else {
    add(state, c, at);
    state.at++;
  }
}

/** Length of the line end at an offset; 0: there is none. */
function newlineAt(text: string, at: number): number {
  if (text.charAt(at) === '\n') return 1;
  return text.charAt(at) === '\r' && text.charAt(at + 1) === '\n' ? 2 : 0;
}

function openWord(state: State): OpenWord {
  state.word ??= { text: '', start: state.at, offsets: [] };
  return state.word;
}

function add(state: State, characters: string, offset: number, each = false): void {
  const word = openWord(state);
  for (let i = 0; i < characters.length; i++) word.offsets.push(each ? offset + i : offset);
  word.text += characters;
}

function endWord(state: State): void {
  const { word } = state;
  if (!word) return;
  delete state.word;
  if (state.redirected) {
    state.redirected = false;
    return;
  }
  state.words.push({ text: word.text, range: { start: word.start, end: state.at }, offsets: word.offsets });
}

function endCommand(state: State): void {
  endWord(state);
  state.redirected = false;
  const { words } = state;
  state.words = [];
  const [first, second] = words;
  if (!first) return;
  const assigned = first.text === 'export' && second ? words.slice(1) : words;
  const assignments = assigned.map((word) => ASSIGNMENT.exec(word.text));
  if (assignments.every((match) => match !== null)) {
    for (const match of assignments) if (match) state.variables.set(match[1] ?? '', match[2] ?? '');
    return;
  }
  state.commands.push(words);
}

function redirect(state: State): void {
  // `2>` : the digits name a file descriptor.
  if (state.word && /^\d+$/.test(state.word.text)) delete state.word;
  endWord(state);
  const length = /^[<>]+[&|]?/.exec(state.text.slice(state.at, state.at + 4))?.[0].length ?? 1;
  state.at += length;
  state.redirected = true;
}

function singleQuoted(state: State): void {
  const { text, at } = state;
  // Quotes, also empty ones, make a word.
  openWord(state);
  const end = text.indexOf("'", at + 1);
  if (end < 0) problem(state, 'quote', "'", at, at + 1);
  add(state, text.slice(at + 1, end < 0 ? text.length : end), at + 1, true);
  state.at = end < 0 ? text.length : end + 1;
}

function doubleQuoted(state: State): void {
  const { text, at: start } = state;
  // Quotes, also empty ones, make a word.
  openWord(state);
  state.at++;
  while (state.at < text.length) {
    const c = text.charAt(state.at);
    if (c === '"') {
      state.at++;
      return;
    }
    const escaped = text.charAt(state.at + 1);
    const newline = newlineAt(text, state.at + 1);
    if (c === '\\' && newline > 0) state.at += 1 + newline;
    else if (c === '\\' && escaped !== '' && '$`"\\'.includes(escaped)) {
      add(state, escaped, state.at + 1);
      state.at += 2;
    } else if (c === '$' || c === '`') expand(state, true);
    else {
      add(state, c, state.at);
      state.at++;
    }
  }
  problem(state, 'quote', '"', start, start + 1);
}

/** `$NAME`, `${NAME}`; anything else that a shell would compute is taken literally and reported. */
function expand(state: State, quoted: boolean): void {
  const { text, at } = state;
  const rest = text.slice(at, at + 200);
  const name = /^\$([A-Za-z_]\w*)|^\$\{([A-Za-z_]\w*)\}/.exec(rest);
  if (!name) {
    const computed = /^`|^\$[({@*#?!0-9]/.exec(rest);
    if (computed) problem(state, 'substitution', computed[0], at, at + computed[0].length);
    add(state, text.charAt(at), at);
    state.at++;
    return;
  }
  const value = state.variables.get(name[1] ?? name[2] ?? '');
  const end = at + name[0].length;
  if (value === undefined) problem(state, 'variable', name[1] ?? name[2] ?? '', at, end);
  const characters = value ?? name[0];
  // Without quotes the shell splits the value into words.
  for (const [i, part] of (quoted ? [characters] : characters.split(/[ \t\r\n]+/)).entries()) {
    if (i > 0) endWord(state);
    if (part !== '' || quoted) add(state, part, at);
  }
  state.at = end;
}

function problem(state: State, kind: ShellProblem['kind'], name: string, start: number, end: number): void {
  state.problems.push({ kind, name, range: { start, end } });
}

/** Quotes a word so that a shell gives it back as it is. */
export function quoteShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
