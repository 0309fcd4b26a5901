import type { TextRange } from '../../fault.js';
import type { ValueSchema } from './schema.js';

/** A value that fits its schema, with its places. Values that do not fit are problems and left out. */
export interface Checked {
  readonly schema: ValueSchema;
  readonly range: TextRange;
  /** Range of its key, in a map. */
  readonly key?: TextRange;
  /** Place in a list, items that do not fit included. */
  readonly index?: number;
  readonly value: CheckedValue;
}

export type CheckedValue =
  | { readonly kind: 'integer'; readonly value: bigint }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'bytes'; readonly value: Uint8Array }
  | {
      readonly kind: 'map';
      readonly entries: ReadonlyMap<string, Checked>;
      /** Keys as written, those with unusable values included. */
      readonly keys: ReadonlySet<string>;
      /** Name of the shape, for maps of several shapes. */
      readonly shape?: string;
    }
  | { readonly kind: 'list'; readonly items: readonly Checked[] };

export interface Placed<T> {
  readonly value: T;
  readonly range: TextRange;
  readonly key?: TextRange;
}

export function childOf(map: Checked | undefined, key: string): Checked | undefined {
  return map?.value.kind === 'map' ? map.value.entries.get(key) : undefined;
}

function placed<T>(node: Checked, value: T): Placed<T> {
  return { value, range: node.range, ...(node.key ? { key: node.key } : {}) };
}

export function integerOf(node: Checked | undefined): Placed<bigint> | undefined {
  return node?.value.kind === 'integer' ? placed(node, node.value.value) : undefined;
}

/** For integers whose schema bounds them below 2^53. */
export function numberOf(node: Checked | undefined): Placed<number> | undefined {
  return node?.value.kind === 'integer' ? placed(node, Number(node.value.value)) : undefined;
}

export function textOf(node: Checked | undefined): Placed<string> | undefined {
  return node?.value.kind === 'text' ? placed(node, node.value.value) : undefined;
}

export function booleanOf(node: Checked | undefined): Placed<boolean> | undefined {
  return node?.value.kind === 'boolean' ? placed(node, node.value.value) : undefined;
}

export function bytesOf(node: Checked | undefined): Placed<Uint8Array> | undefined {
  return node?.value.kind === 'bytes' ? placed(node, node.value.value) : undefined;
}

export function itemsOf(node: Checked | undefined): readonly Checked[] {
  return node?.value.kind === 'list' ? node.value.items : [];
}
