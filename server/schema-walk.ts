import type { Document } from 'yaml';
import { isMap, isScalar, type Node } from 'yaml';
import {
  type FieldSchema,
  fieldOf,
  type MapSchema,
  type ShapeSchema,
  type ValueSchema,
} from '../engine/launch/grammar/schema.js';
import { nodeAt, type YamlPath } from './yaml-position.js';

export interface SchemaPlace {
  /** The key's entry, when the last step of the path is a key. */
  readonly field?: FieldSchema;
  readonly value: ValueSchema;
  /** The shape of the innermost entry of launch.update around it. */
  readonly shape?: ShapeSchema;
}

/** The schema of the value at `path`. Shapes are told apart by the keys that the document's map has. */
export function schemaAt(root: MapSchema, document: Document, path: YamlPath): SchemaPlace | undefined {
  let place: SchemaPlace = { value: root };
  for (let i = 0; i < path.length; i++) {
    const step = path[i];
    if (step === undefined) return undefined;
    const { value } = place;
    if (typeof step === 'number') {
      if (value.kind !== 'list') return undefined;
      place = { value: value.item, shape: place.shape };
      continue;
    }
    const map = mapOf(value, nodeAt(document, path.slice(0, i)));
    const field = map && fieldOf(map.map, step);
    if (!map || !field) return undefined;
    place = { field, value: field.value, shape: map.shape ?? place.shape };
  }
  return place;
}

/** The keys that may stand in a map of this schema, given the keys that it already has. */
export function fieldsOf(value: ValueSchema, present: readonly string[], type?: string): readonly FieldSchema[] {
  switch (value.kind) {
    case 'map':
      return value.fields;
    case 'choice':
      return value.map.fields;
    case 'shapes': {
      const fitting = value.shapes.filter((shape) => fits(shape, present, type));
      const fields = new Map<string, FieldSchema>();
      for (const shape of fitting.length > 0 ? fitting : value.shapes) {
        for (const field of shape.map.fields) if (!fields.has(field.key)) fields.set(field.key, field);
      }
      return [...fields.values()];
    }
    default:
      return [];
  }
}

export function shapeOf(value: ValueSchema, present: readonly string[], type?: string): ShapeSchema | undefined {
  return value.kind === 'shapes' ? value.shapes.find((shape) => fits(shape, present, type)) : undefined;
}

function fits(shape: ShapeSchema, present: readonly string[], type: string | undefined): boolean {
  if (!present.includes(shape.key)) return false;
  return shape.value === undefined || shape.value === type;
}

function mapOf(
  value: ValueSchema,
  node: Node | undefined,
): { readonly map: MapSchema; readonly shape?: ShapeSchema } | undefined {
  if (value.kind === 'map') return { map: value };
  if (value.kind === 'choice') return { map: value.map };
  if (value.kind !== 'shapes') return undefined;
  const keys = isMap(node) ? node.items.map((pair) => (isScalar(pair.key) ? String(pair.key.value) : '')) : [];
  const type = isMap(node) ? node.get('type') : undefined;
  const shape = shapeOf(value, keys, typeof type === 'string' ? type : undefined);
  if (shape) return { map: shape.map, shape };
  return { map: { kind: 'map', fields: fieldsOf(value, keys) } };
}
