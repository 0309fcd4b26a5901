import {
  type CompletionItem,
  CompletionItemKind,
  InsertTextFormat,
  MarkupKind,
  type Position,
} from 'vscode-languageserver';
import type { TextRange } from '../../engine/fault.js';
import type { FieldSchema, ValueSchema } from '../../engine/launch/grammar/schema.js';
import { MANIFEST_SCHEMA } from '../../engine/launch/manifest/schema.js';
import { POLICY_SCHEMA } from '../../engine/launch/policy/schema.js';
import type { Analysis } from '../analysis.js';
import type { ListFolder } from '../folder-listing.js';
import { fieldsOf, shapeOf } from '../schema-walk.js';
import { cursorContext, type Level } from './cursor-context.js';
import { type FlowContext, flowContext } from './flow-context.js';
import { isPath, pathItems } from './path-completion.js';
import { rangeOf } from './ranges.js';

/**
 * Keys and values. Both ways to find the place work from what is written before the cursor and not from the parsed
 * document, because a line that is being typed is seldom valid YAML.
 */
export function completions(
  analysis: Analysis,
  position: Position,
  list: ListFolder = () => undefined,
): CompletionItem[] {
  const offset = analysis.lines.offsetAt(position);
  const flow = flowContext(analysis.text, offset);
  return flow ? inFlow(analysis, offset, flow, list) : inBlock(analysis, offset, list);
}

function inBlock(analysis: Analysis, offset: number, list: ListFolder): CompletionItem[] {
  const cursor = cursorContext(analysis.text, offset);
  if (!cursor) return [];
  const found = schemaOf(analysis, cursor.levels);
  if (!found) return [];
  if (cursor.role === 'value') {
    const range = wordAround(analysis.text, offset);
    const typed = analysis.text.slice(range.start, offset);
    return [...valueItems(found), ...paths(analysis, found, typed, range, list)];
  }
  const dash = found.value.kind === 'list' && !cursor.inItem ? '- ' : '';
  return keysOf(found.value, cursor.here).map((field) => keyItem(field, dash, cursor.indent));
}

/** In braces everything is one line: a key gets its colon, a text its quotes where the style has them. */
function inFlow(analysis: Analysis, offset: number, flow: FlowContext, list: ListFolder): CompletionItem[] {
  const outer = cursorContext(analysis.text, flow.start);
  if (!outer) return [];
  const found = schemaOf(analysis, [...outer.levels, ...flow.levels]);
  if (!found) return [];
  const range = rangeOf(analysis.lines, flow.range);
  const quote = flow.quoted ? '"' : '';
  const replacing = (item: CompletionItem, text: string): CompletionItem => {
    const { insertText: _, ...rest } = item;
    return { ...rest, filterText: text, textEdit: { range, newText: text } };
  };
  if (flow.role === 'key') {
    const end = flow.hasColon ? '' : ': ';
    return keysOf(found.value, flow).map((field) =>
      replacing(keyItem(field, '', 0), `${quote}${field.key}${quote}${end}`),
    );
  }
  const values = valueItems(found).map((item) => {
    const text = item.insertText ?? item.label;
    const plain = item.kind === CompletionItemKind.Keyword || text.startsWith('"');
    return replacing(item, plain ? text : `${quote}${text}${quote}`);
  });
  const written = analysis.text.slice(flow.range.start, flow.range.end);
  const inside = /^["']/.test(written) ? 1 : 0;
  const scalar = { start: flow.range.start + inside, end: flow.range.end - (/.["']$/.test(written) ? 1 : 0) };
  const typed = analysis.text.slice(scalar.start, offset);
  const files = paths(analysis, found, typed, scalar, list);
  return [...values, ...(flow.quoted && inside === 0 ? files.map(quotedPath) : files)];
}

interface Found {
  readonly value: ValueSchema;
  readonly field?: FieldSchema;
}

function schemaOf(analysis: Analysis, levels: readonly Level[]): Found | undefined {
  let found: Found = { value: analysis.kind === 'manifest' ? MANIFEST_SCHEMA : POLICY_SCHEMA };
  for (const level of levels) {
    const map: ValueSchema = inList(found.value);
    const field: FieldSchema | undefined = fieldsOf(map, level.siblings, level.type).find((f) => f.key === level.key);
    if (!field) return undefined;
    found = { value: field.value, field };
  }
  return found;
}

function keysOf(value: ValueSchema, { siblings, type }: Pick<Level, 'siblings' | 'type'>): readonly FieldSchema[] {
  const map = inList(value);
  const fields = shapeOf(map, siblings, type)?.map.fields ?? fieldsOf(map, siblings, type);
  return fields.filter((field) => !siblings.includes(field.key));
}

function paths(
  analysis: Analysis,
  { value, field }: Found,
  typed: string,
  range: TextRange,
  list: ListFolder,
): CompletionItem[] {
  return isPath(value) ? pathItems(field, typed, rangeOf(analysis.lines, range), analysis.path, list) : [];
}

function quotedPath(item: CompletionItem): CompletionItem {
  const { textEdit } = item;
  if (!textEdit) return item;
  const newText = `"${textEdit.newText}"`;
  return { ...item, filterText: newText, textEdit: { ...textEdit, newText } };
}

/** The word that the cursor stands in, without quotes. */
function wordAround(text: string, offset: number): TextRange {
  const before = /[^\s"']*$/.exec(text.slice(0, offset))?.[0].length ?? 0;
  const after = /^[^\s"']*/.exec(text.slice(offset))?.[0].length ?? 0;
  return { start: offset - before, end: offset + after };
}

function inList(value: ValueSchema): ValueSchema {
  return value.kind === 'list' ? value.item : value;
}

function keyItem(field: FieldSchema, dash: string, indent: number): CompletionItem {
  const below = ' '.repeat(indent + 2);
  return {
    label: field.key,
    kind: CompletionItemKind.Property,
    documentation: { kind: MarkupKind.Markdown, value: field.doc },
    insertTextFormat: InsertTextFormat.PlainText,
    insertText: `${dash}${field.key}:${opensBlock(field.value) ? `\n${below}` : ' '}`,
    sortText: field.required ? `0${field.key}` : `1${field.key}`,
  };
}

function opensBlock(value: ValueSchema): boolean {
  return value.kind === 'map' || value.kind === 'list';
}

function valueItems({ value, field }: Found): CompletionItem[] {
  if (field?.key === 'firmware' && isPath(value)) {
    const detail = 'the OVMF of this system';
    return [{ label: 'auto', kind: CompletionItemKind.Keyword, detail, sortText: '0' }];
  }
  switch (value.kind) {
    case 'enum':
      return value.values.map((entry, index) => ({
        label: entry.value,
        kind: CompletionItemKind.EnumMember,
        documentation: { kind: MarkupKind.Markdown, value: entry.doc },
        insertText: /^\d+\.\d+$/.test(entry.value) ? `"${entry.value}"` : entry.value,
        sortText: String(index).padStart(4, '0'),
      }));
    case 'boolean':
      return ['true', 'false'].map((label) => ({ label, kind: CompletionItemKind.Keyword }));
    case 'choice':
      return value.map.fields.some((field) => field.key === 'smt')
        ? [
            { label: '0x30000', kind: CompletionItemKind.Value, detail: 'SMT allowed, bit 17' },
            { label: '0xb0000', kind: CompletionItemKind.Value, detail: 'SMT and debugging allowed, bit 17' },
          ]
        : [];
    default:
      return [];
  }
}
