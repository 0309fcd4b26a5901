import { type Document, isMap, isScalar, isSeq, type Node } from 'yaml';
import type { TextRange } from '../../fault.js';
import { rangeOf, scalarText, shapeOf } from './check.js';
import { type FieldSchema, fieldOf, type MapSchema, type ValueSchema } from './schema.js';

/** Where in the grammar an offset of the text is. */
export interface LocatedNode {
  /** Keys and list indices from the root: `['launch', 'update', 0, 'gpa']`. */
  readonly path: readonly (string | number)[];
  /** The same for people and tables: `launch.update[].gpa`. */
  readonly schemaPath: string;
  readonly part: 'key' | 'value';
  /** Of the key or the value. */
  readonly range: TextRange;
  /** Undefined for unknown keys. */
  readonly field?: FieldSchema;
  readonly schema?: ValueSchema;
}

/** The innermost key or value around `offset`; also where values are wrong. Undefined outside of the root map. */
export function nodeAtOffset(
  parsed: { readonly document: Document; readonly text: string },
  root: MapSchema,
  offset: number,
): LocatedNode | undefined {
  const { contents } = parsed.document;
  if (!contents) return undefined;
  return descend(contents as Node, { path: [], schema: root }, offset, parsed.text);
}

interface Place {
  readonly path: readonly (string | number)[];
  readonly field?: FieldSchema | undefined;
  readonly schema?: ValueSchema | undefined;
}

function descend(node: Node, place: Place, offset: number, text: string): LocatedNode | undefined {
  const range = rangeOf(node, text);
  if (!around(range, offset)) return undefined;
  if (isMap(node)) {
    const map = mapSchemaOf(place.schema, node);
    for (const pair of node.items) {
      if (!isScalar(pair.key)) continue;
      const key = scalarText(pair.key);
      const field = map && fieldOf(map, key);
      const inner: Place = { path: [...place.path, key], field, schema: field?.value };
      const keyRange = rangeOf(pair.key as Node, text);
      if (around(keyRange, offset)) return located(inner, 'key', keyRange);
      const found = pair.value ? descend(pair.value as Node, inner, offset, text) : undefined;
      if (found) return found;
    }
  } else if (isSeq(node)) {
    const item = place.schema?.kind === 'list' ? place.schema.item : undefined;
    for (const [index, child] of node.items.entries()) {
      const inner: Place = { path: [...place.path, index], field: place.field, schema: item };
      const found = child ? descend(child as Node, inner, offset, text) : undefined;
      if (found) return found;
    }
  }
  return place.path.length > 0 ? located(place, 'value', range) : undefined;
}

function located({ path, field, schema }: Place, part: 'key' | 'value', range: TextRange): LocatedNode {
  const schemaPath = path.reduce<string>(
    (text, step) => (typeof step === 'number' ? `${text}[]` : text === '' ? step : `${text}.${step}`),
    '',
  );
  return { path, schemaPath, part, range, ...(field ? { field } : {}), ...(schema ? { schema } : {}) };
}

function mapSchemaOf(schema: ValueSchema | undefined, node: Node): MapSchema | undefined {
  switch (schema?.kind) {
    case 'map':
      return schema;
    case 'choice':
      return schema.map;
    case 'shapes':
      return shapeOf(schema, node)?.map;
    default:
      return undefined;
  }
}

const around = (range: TextRange, offset: number): boolean => offset >= range.start && offset <= range.end;
