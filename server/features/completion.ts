import {
  type CompletionItem,
  CompletionItemKind,
  InsertTextFormat,
  MarkupKind,
  type Position,
} from 'vscode-languageserver';
import type { FieldSchema, ValueSchema } from '../../engine/launch/grammar/schema.js';
import { MANIFEST_SCHEMA } from '../../engine/launch/manifest/schema.js';
import { POLICY_SCHEMA } from '../../engine/launch/policy/schema.js';
import type { Analysis } from '../analysis.js';
import { fieldsOf, shapeOf } from '../schema-walk.js';
import { cursorContext } from './cursor-context.js';

/**
 * Keys and values for block YAML. It works from indentation and not from the parsed document, because a line
 * that is being typed is seldom valid YAML.
 */
export function completions(analysis: Analysis, position: Position): CompletionItem[] {
  const cursor = cursorContext(analysis.text, analysis.lines.offsetAt(position));
  if (!cursor) return [];
  const root = analysis.kind === 'manifest' ? MANIFEST_SCHEMA : POLICY_SCHEMA;
  let value: ValueSchema | undefined = root;
  for (const level of cursor.levels) {
    value = value && inList(value);
    const field: FieldSchema | undefined =
      value && fieldsOf(value, level.siblings, level.type).find((f) => f.key === level.key);
    value = field?.value;
  }
  if (!value) return [];
  if (cursor.role === 'value') return valueItems(value);
  const map = inList(value);
  const { siblings, type } = cursor.here;
  const shape = shapeOf(map, siblings, type);
  const fields = shape ? shape.map.fields : fieldsOf(map, siblings, type);
  const dash = value.kind === 'list' && !cursor.inItem ? '- ' : '';
  return fields.filter((field) => !siblings.includes(field.key)).map((field) => keyItem(field, dash, cursor.indent));
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

function valueItems(value: ValueSchema): CompletionItem[] {
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
