import type { Level } from './cursor-context.js';

/** A map or list in braces or brackets around the cursor, as far as it is written. */
interface FlowFrame {
  readonly kind: 'map' | 'list';
  readonly entries: { key: string; value?: string }[];
  /** Behind a colon: the key whose value comes next. */
  key?: string;
}

/** Where in flow style (and so in JSON) a cursor stands. */
export interface FlowContext {
  readonly role: 'key' | 'value';
  /** Offset of the brace or bracket that opens the outermost collection. */
  readonly start: number;
  /** The keys from there to the cursor; for role `value` the last one is the value's. */
  readonly levels: readonly Level[];
  readonly siblings: readonly string[];
  readonly type?: string;
  /** The scalar that is being typed: what an item replaces. */
  readonly range: { readonly start: number; readonly end: number };
  /** The scalar's or the document's style asks for quotes around texts. */
  readonly quoted: boolean;
  /** The key is followed by a colon already. */
  readonly hasColon: boolean;
}

interface Token {
  readonly kind: '{' | '}' | '[' | ']' | ',' | ':' | 'scalar';
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly quoted: boolean;
}

/** The flow collection that holds `offset`, if one does. Text that is being typed need not be complete. */
export function flowContext(text: string, offset: number): FlowContext | undefined {
  for (const start of flowStarts(text, offset)) {
    const found = inFlow(text, start, offset);
    if (found) return found;
  }
  return undefined;
}

/** Offsets of braces and brackets that begin a value of block YAML, or the document. */
function flowStarts(text: string, offset: number): readonly number[] {
  const starts: number[] = [];
  for (const match of text.matchAll(/^(?:[^\S\r\n]*(?:-[^\S\r\n]+)*(?:[^\s:#'"{[][^:\r\n]*:[^\S\r\n]+)?)(?=[{[])/gm)) {
    const start = match.index + match[0].length;
    if (start < offset) starts.push(start);
  }
  return starts;
}

function inFlow(text: string, start: number, offset: number): FlowContext | undefined {
  const stack: FlowFrame[] = [];
  const json = /^\s*$/.test(text.slice(0, start)) && /^.\s*("|$)/s.test(text.slice(start, start + 200));
  let found: { frames: FlowFrame[]; keys: (string | undefined)[]; token: Token | undefined } | undefined;
  let colonAfter = false;
  let last: Token | undefined;
  for (const token of tokens(text, start)) {
    const reached = token.kind === 'scalar' ? offset <= token.end : offset <= token.start;
    if (reached && !found) {
      if (stack.length === 0) return undefined;
      const touches = token.kind === 'scalar' && token.start <= offset;
      found = { frames: [...stack], keys: stack.map((frame) => frame.key), token: touches ? token : undefined };
    }
    if (found && last === found.token && last && token.kind === ':') colonAfter = true;
    last = token;
    if (!apply(stack, token)) break;
  }
  if (!found && stack.length > 0 && offset >= (last?.end ?? start)) {
    found = { frames: [...stack], keys: stack.map((frame) => frame.key), token: undefined };
  }
  return found && describe(found.frames, found.keys, found.token, { start, offset, json, colonAfter });
}

/** False when the outermost collection is closed. */
function apply(stack: FlowFrame[], { kind, text }: Token): boolean {
  const top = stack[stack.length - 1];
  switch (kind) {
    case '{':
    case '[':
      stack.push({ kind: kind === '{' ? 'map' : 'list', entries: [] });
      return true;
    case '}':
    case ']': {
      stack.pop();
      const outer = stack[stack.length - 1];
      if (outer) delete outer.key;
      return stack.length > 0;
    }
    case ',':
      if (top) delete top.key;
      return true;
    case ':':
      if (top?.kind === 'map') top.key = top.entries[top.entries.length - 1]?.key;
      return true;
    case 'scalar': {
      if (top?.kind !== 'map') return true;
      const entry = top.entries[top.entries.length - 1];
      if (top.key === undefined) top.entries.push({ key: text });
      else if (entry) entry.value = text;
      return true;
    }
  }
}

function describe(
  frames: readonly FlowFrame[],
  keys: readonly (string | undefined)[],
  token: Token | undefined,
  at: { start: number; offset: number; json: boolean; colonAfter: boolean },
): FlowContext | undefined {
  const top = frames[frames.length - 1];
  if (!top) return undefined;
  const levels: Level[] = [];
  frames.forEach((frame, index) => {
    const key = keys[index];
    if (key !== undefined) levels.push({ key, ...mapOf(frame) });
  });
  const role = top.kind === 'map' && keys[frames.length - 1] === undefined ? 'key' : 'value';
  const { siblings, type } = mapOf(top);
  return {
    role,
    start: at.start,
    levels,
    siblings: role === 'key' && token ? siblings.filter((key) => key !== token.text) : siblings,
    ...(type === undefined ? {} : { type }),
    range: token ? { start: token.start, end: token.end } : { start: at.offset, end: at.offset },
    quoted: at.json || (token?.quoted ?? false),
    hasColon: at.colonAfter,
  };
}

function mapOf(frame: FlowFrame): { siblings: readonly string[]; type?: string } {
  const type = frame.entries.find(({ key }) => key === 'type')?.value;
  return { siblings: frame.entries.map(({ key }) => key), ...(type === undefined ? {} : { type }) };
}

const TOKEN =
  /#[^\r\n]*|"(?:[^"\\\r\n]|\\.)*"?|'(?:[^'\r\n]|'')*'?|[{}[\],]|:(?=[\s{}[\],"']|$)|(?:[^\s{}[\],:]|:(?![\s{}[\],]|$))+/g;

function* tokens(text: string, start: number): Generator<Token> {
  const pattern = new RegExp(TOKEN);
  pattern.lastIndex = start;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const [part] = match;
    const first = part[0] ?? '';
    if (first === '#') continue;
    const place = { start: match.index, end: match.index + part.length };
    const sign = ['{', '}', '[', ']', ',', ':'].find((each) => each === part) as Exclude<Token['kind'], 'scalar'>;
    const quoted = first === '"' || first === "'";
    if (sign) yield { kind: sign, ...place, text: part, quoted: false };
    else yield { kind: 'scalar', ...place, text: quoted ? part.replace(/^["']|["']$/g, '') : part, quoted };
  }
}
