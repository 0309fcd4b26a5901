/** Where in block YAML a cursor stands, judged by indentation alone. */
export interface CursorContext {
  readonly role: 'key' | 'value';
  /** The keys around the cursor, outermost first; for role `value` the last one is the key on this line. */
  readonly levels: readonly Level[];
  /** The map in which a key would be inserted. */
  readonly here: { readonly siblings: readonly string[]; readonly type?: string };
  /** The cursor's map is an item of a list: behind a dash or below one. */
  readonly inItem: boolean;
  /** Column of the key. */
  readonly indent: number;
}

export interface Level {
  readonly key: string;
  /** All keys of the map that `key` stands in, and the value of its `type`. */
  readonly siblings: readonly string[];
  readonly type?: string;
}

interface Line {
  /** Column of the first key, behind any dashes. */
  readonly indent: number;
  /** Column of the dash, if the line starts a list item. */
  readonly dash?: number;
  readonly key?: string;
  readonly value?: string;
  readonly blank: boolean;
}

export function cursorContext(text: string, offset: number): CursorContext | undefined {
  const lines = text.split(/\r\n|\r|\n/);
  const before = text.slice(0, offset).split(/\r\n|\r|\n/);
  const row = before.length - 1;
  const prefix = before[row] ?? '';
  // Flow collections, comments and JSON are left to the user.
  if (/[{[#]/.test(prefix) || /^\s*["']/.test(prefix)) return undefined;
  const parsed = lines.map(readLine);
  const typed = readLine(prefix);
  const onValue = /^\s*(?:-\s+)*[^\s:#]+:\s+\S*$/.test(prefix) || /^\s*(?:-\s+)*[^\s:#]+:\s+$/.test(prefix);
  const indent = typed.indent;
  const top = itemTop(parsed, row, indent, typed);
  const here = mapAround(parsed, top.row, indent, onValue ? undefined : row);
  const levels = ancestors(parsed, top.row, top.indent);
  if (onValue && typed.key !== undefined) {
    return { role: 'value', levels: [...levels, { key: typed.key, ...here }], here, inItem: top.inItem, indent };
  }
  if (/:\S*$/.test(prefix.trim())) return undefined;
  return { role: 'key', levels, here, inItem: top.inItem, indent };
}

function readLine(text: string): Line {
  const match = /^(\s*)((?:-\s+|-$)*)/.exec(text);
  const lead = match?.[1]?.length ?? 0;
  const dashes = match?.[2] ?? '';
  const indent = lead + dashes.length;
  const rest = text.slice(indent);
  const pair = /^([^\s:#{["'][^:]*?)\s*:(?:\s+(.*?))?\s*$/.exec(rest);
  return {
    indent,
    ...(dashes ? { dash: lead } : {}),
    ...(pair?.[1] === undefined ? {} : { key: pair[1], value: pair[2] ?? '' }),
    blank: rest.trim() === '' || rest.startsWith('#'),
  };
}

/** The row where the map at `indent` begins, and the column that its parent must be left of. */
function itemTop(
  lines: readonly Line[],
  row: number,
  indent: number,
  typed: Line,
): { readonly row: number; readonly indent: number; readonly inItem: boolean } {
  if (typed.dash !== undefined) return { row, indent: typed.dash + 1, inItem: true };
  for (let i = row - 1; i >= 0; i--) {
    const line = lines[i];
    if (!line || (line.blank && line.dash === undefined)) continue;
    if (line.dash !== undefined && line.indent === indent) return { row: i, indent: line.dash + 1, inItem: true };
    if (line.indent < indent) return { row: i + 1, indent, inItem: false };
  }
  return { row: 0, indent, inItem: false };
}

/** The keys of the map that starts at `top`. `skip` is the line being typed. */
function mapAround(
  lines: readonly Line[],
  top: number,
  indent: number,
  skip: number | undefined,
): CursorContext['here'] {
  const siblings: string[] = [];
  let type: string | undefined;
  for (let i = top; i < lines.length; i++) {
    const line = lines[i];
    if (!line || line.blank) continue;
    if (line.indent < indent || (i > top && line.dash !== undefined && line.dash < indent)) break;
    if (line.indent !== indent || i === skip || line.key === undefined) continue;
    siblings.push(line.key);
    if (line.key === 'type') type = line.value;
  }
  return { siblings, ...(type === undefined ? {} : { type }) };
}

/** The keys above `row` with ever smaller indentation. A list may stand at the column of its key. */
function ancestors(lines: readonly Line[], row: number, indent: number): Level[] {
  const levels: Level[] = [];
  let limit = indent;
  for (let i = row - 1; i >= 0; i--) {
    const line = lines[i];
    if (!line || line.blank || line.key === undefined || line.indent >= limit) continue;
    const item = itemTop(lines, i, line.indent, line);
    levels.unshift({ key: line.key, ...mapAround(lines, item.row, line.indent, undefined) });
    limit = item.indent;
  }
  return levels;
}
