import type { FaultDefinition } from '../../fault.js';

/**
 * The types of the schema tables. One table for each grammar drives validation, hover, completion and the JSON
 * Schema for other editors; see ../manifest/schema and ../policy/schema.
 */

export type ValueSchema =
  | IntegerSchema
  | TextSchema
  | EnumSchema
  | BooleanSchema
  | BytesSchema
  | MapSchema
  | ListSchema
  | ChoiceSchema
  | UpdateSchema;

export interface IntegerSchema {
  readonly kind: 'integer';
  /** `size` and `address` also take KiB, MiB, GiB and TiB. */
  readonly unit: 'count' | 'mask' | 'size' | 'address';
  readonly min: bigint;
  readonly max: bigint;
}

export interface TextSchema {
  readonly kind: 'text';
  readonly form: 'path' | 'string' | 'version';
}

export interface EnumSchema {
  readonly kind: 'enum';
  readonly values: readonly { readonly value: string; readonly doc: string }[];
}

export interface BooleanSchema {
  readonly kind: 'boolean';
}

/** Hex digits for exactly `length` bytes. */
export interface BytesSchema {
  readonly kind: 'bytes';
  readonly length: number;
}

export interface MapSchema {
  readonly kind: 'map';
  readonly fields: readonly FieldSchema[];
}

export interface ListSchema {
  readonly kind: 'list';
  readonly item: ValueSchema;
}

/** A scalar or a map: `scalars` are tried in order, the last one reports. */
export interface ChoiceSchema {
  readonly kind: 'choice';
  readonly scalars: readonly (IntegerSchema | TextSchema)[];
  readonly map: MapSchema;
}

/** A map of several shapes, told apart by the keys that it has. */
export interface UpdateSchema {
  readonly kind: 'shapes';
  readonly shapes: readonly ShapeSchema[];
}

export interface ShapeSchema {
  readonly name: string;
  readonly doc: string;
  readonly map: MapSchema;
  /** The key whose presence selects the shape, and the value it needs if not every value does. */
  readonly key: string;
  readonly value?: string;
}

export interface FieldSchema {
  readonly key: string;
  /** Markdown, for hover and completion. */
  readonly doc: string;
  readonly value: ValueSchema;
  readonly required?: boolean;
  /** The check that reports a required key that is missing; default: manifest-missing-key. */
  readonly missing?: FaultDefinition<{ key: string; where: string; example: string }>;
  /** As it would be written. */
  readonly default?: string;
  readonly example?: string;
}

export function fieldOf(map: MapSchema, key: string): FieldSchema | undefined {
  return map.fields.find((field) => field.key === key);
}

/** What a value looks like, in words, for messages: "a number", "16 bytes in hex (32 digits)". */
export function describeValue(schema: ValueSchema): string {
  switch (schema.kind) {
    case 'integer':
      return schema.unit === 'size' ? 'a size such as 512MiB' : schema.unit === 'address' ? 'an address' : 'a number';
    case 'text':
      return schema.form === 'path' ? 'the path of a file' : schema.form === 'version' ? 'a version' : 'a text';
    case 'enum':
      return `one of ${schema.values.map((v) => v.value).join(', ')}`;
    case 'boolean':
      return 'true or false';
    case 'bytes':
      return `${schema.length} bytes in hex (${schema.length * 2} digits)`;
    case 'map':
    case 'shapes':
      return 'a map';
    case 'list':
      return 'a list';
    case 'choice':
      return [...schema.scalars.map(describeValue), 'a map'].join(' or ');
  }
}
