import type { DocumentKind } from '../document-kind.js';
import { MANIFEST_SCHEMA } from '../manifest/schema.js';
import { POLICY_SCHEMA } from '../policy/schema.js';
import type { FieldSchema, IntegerSchema, MapSchema, ShapeSchema, ValueSchema } from './schema.js';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** JSON Schema (draft 7) of a grammar, for editors that have no language server of ours. */
export function jsonSchema(kind: DocumentKind): { readonly [key: string]: Json } {
  const manifest = kind === 'manifest';
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: manifest ? 'SEV-SNP launch manifest' : 'SEV-SNP launch policy',
    ...mapJson(manifest ? MANIFEST_SCHEMA : POLICY_SCHEMA),
  };
}

function mapJson(map: MapSchema): { readonly [key: string]: Json } {
  const required = map.fields.filter((f) => f.required).map((f) => f.key);
  return {
    type: 'object',
    properties: Object.fromEntries(map.fields.map((field) => [field.key, fieldJson(field)])),
    ...(required.length > 0 ? { required } : {}),
    additionalProperties: false,
  };
}

function fieldJson(field: FieldSchema): { readonly [key: string]: Json } {
  const default_ = field.default === undefined ? '' : ` Default: ${field.default}.`;
  return { description: `${field.doc}${default_}`, ...valueJson(field.value) };
}

function valueJson(schema: ValueSchema): { readonly [key: string]: Json } {
  switch (schema.kind) {
    case 'integer':
      return { anyOf: integerJson(schema) };
    case 'text':
      // YAML reads `append: 5` as a number and 1.51 as a float; both are texts here.
      return { type: ['string', 'number', 'boolean'] };
    case 'enum': {
      const values: Json[] = schema.values.map((v) => v.value);
      const numbers = schema.values.map((v) => Number(v.value)).filter((n) => Number.isFinite(n));
      return { enum: [...values, ...numbers] };
    }
    case 'boolean':
      return { type: 'boolean' };
    case 'bytes':
      return { type: ['string', 'number'], pattern: `^(0[xX])?([\\s_:]*[0-9a-fA-F]){${schema.length * 2}}\\s*$` };
    case 'map':
      return mapJson(schema);
    case 'list':
      return { type: 'array', items: valueJson(schema.item) };
    case 'choice':
      return { anyOf: [...schema.scalars.map((s) => valueJson(s)), mapJson(schema.map)] };
    case 'shapes':
      return { anyOf: schema.shapes.map(shapeJson) };
  }
}

function integerJson(schema: IntegerSchema): readonly Json[] {
  const units = schema.unit === 'size' || schema.unit === 'address' ? '([KMGT]iB)?' : '';
  // Bounds that a double cannot hold are left to the language server.
  const exact = (n: bigint): boolean => n <= BigInt(Number.MAX_SAFE_INTEGER);
  return [
    {
      type: 'integer',
      ...(exact(schema.min) ? { minimum: Number(schema.min) } : {}),
      ...(exact(schema.max) ? { maximum: Number(schema.max) } : {}),
    },
    { type: 'string', pattern: `^([0-9]+|0[xX][0-9a-fA-F_]+)${units}$` },
  ];
}

function shapeJson(shape: ShapeSchema): Json {
  const json = mapJson(shape.map);
  if (shape.key !== 'type') return { ...json, description: shape.doc };
  const type: { readonly [key: string]: Json } =
    shape.value === undefined ? { not: { const: 'vmsa' } } : { const: shape.value };
  const properties = shape.map.fields.map((field): [string, Json] => {
    const own = fieldJson(field);
    return [field.key, field.key === 'type' ? { ...own, ...type } : own];
  });
  return { ...json, description: shape.doc, properties: Object.fromEntries(properties) };
}
