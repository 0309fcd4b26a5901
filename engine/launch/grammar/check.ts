import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type Scalar } from 'yaml';
import { type Fault, type FaultDefinition, makeFault, type Operands, type TextRange } from '../../fault.js';
import type { Checked, CheckedValue } from './checked.js';
import * as faults from './faults.js';
import { parseNumber } from './number.js';
import {
  type BytesSchema,
  type ChoiceSchema,
  describeValue,
  type EnumSchema,
  fieldOf,
  type IntegerSchema,
  type MapSchema,
  type UpdateSchema,
  type ValueSchema,
} from './schema.js';
import { nearest } from './suggest.js';

const MAX_VALUES = 20_000;
const MAX_ALIASES = 100;
const MAX_PROBLEMS = 200;

export interface CheckContext {
  readonly document: Document;
  readonly file: string;
  readonly text: string;
  readonly problems: Fault[];
  /** Offset from which on the YAML cannot be read with certainty. */
  readonly brokenAt?: number;
  values: number;
  aliases: number;
}

export function createCheckContext(
  document: Document,
  file: string,
  text: string,
  problems: readonly Fault[] = [],
  brokenAt?: number,
): CheckContext {
  const broken = brokenAt === undefined ? {} : { brokenAt };
  return { document, file, text, problems: [...problems], ...broken, values: 0, aliases: 0 };
}

/** Things that may only seem to be missing because of a syntax error. */
const MAYBE_MISREAD = new Set(['manifest-missing-key', 'manifest-missing-value', 'manifest-missing-launch']);

export function report<O extends Operands>(
  context: CheckContext,
  definition: FaultDefinition<O>,
  operands: O,
  range: TextRange,
): undefined {
  const { brokenAt } = context;
  if (brokenAt !== undefined && (range.start >= brokenAt || MAYBE_MISREAD.has(definition.check))) return undefined;
  if (context.problems.length < MAX_PROBLEMS)
    context.problems.push(makeFault(definition, operands, { at: { file: context.file, range } }));
  return undefined;
}

/**
 * Compares a YAML node with its schema. Returns what fits; what does not is reported and left out. `name` is how
 * messages call the value.
 */
export function checkNode(
  context: CheckContext,
  schema: ValueSchema,
  node: Node | null | undefined,
  name: string,
  key?: TextRange,
): Checked | undefined {
  const fallback = key ?? { start: 0, end: Math.min(1, context.text.length) };
  if (context.values++ >= MAX_VALUES) {
    if (context.values === MAX_VALUES + 1)
      report(
        context,
        faults.MANIFEST_TOO_MANY_VALUES,
        { limit: MAX_VALUES },
        node ? rangeOf(node, context.text) : fallback,
      );
    return undefined;
  }
  const range = node ? rangeOf(node, context.text) : fallback;
  const target = follow(context, node);
  if (target === undefined) return undefined;
  if (target === null || isEmpty(target)) {
    const at = range.end > range.start ? range : fallback;
    return report(context, faults.MANIFEST_MISSING_VALUE, { key: name, expected: describeValue(schema) }, at);
  }
  const value = checkValue(context, schema, target, name, range);
  return value && { schema, range, ...(key ? { key } : {}), value };
}

function checkValue(
  context: CheckContext,
  schema: ValueSchema,
  node: Node,
  name: string,
  range: TextRange,
): CheckedValue | undefined {
  switch (schema.kind) {
    case 'map':
      return checkMap(context, schema, node, name, range);
    case 'shapes':
      return checkShapes(context, schema, node, name, range);
    case 'list': {
      if (!isSeq(node)) return wrongType(context, schema, node, name, range);
      const items: Checked[] = [];
      node.items.forEach((item, index) => {
        const checked = checkNode(context, schema.item, item as Node | null, `${name}[${index}]`);
        if (checked) items.push({ ...checked, index });
      });
      return { kind: 'list', items };
    }
    case 'choice':
      return checkChoice(context, schema, node, name, range);
    case 'integer':
    case 'text':
    case 'enum':
    case 'boolean':
    case 'bytes':
      if (!isScalar(node)) return wrongType(context, schema, node, name, range);
      return checkScalar(context, schema, scalarText(node), name, range);
  }
}

type ScalarSchema = Exclude<ValueSchema, { kind: 'map' | 'list' | 'choice' | 'shapes' }>;

function checkScalar(
  context: CheckContext,
  schema: ScalarSchema,
  text: string,
  name: string,
  range: TextRange,
): CheckedValue | undefined {
  switch (schema.kind) {
    case 'text':
      return { kind: 'text', value: text };
    case 'boolean':
      if (text === 'true' || text === 'false') return { kind: 'boolean', value: text === 'true' };
      return report(
        context,
        faults.MANIFEST_WRONG_VALUE,
        { key: name, value: excerpt(text), allowed: 'true, false', suggestion: meantBoolean(text) },
        range,
      );
    case 'enum':
      return checkEnum(context, schema, text, name, range);
    case 'integer':
      return checkInteger(context, schema, text, name, range);
    case 'bytes':
      return checkBytes(context, schema, text, name, range);
  }
}

function checkEnum(context: CheckContext, schema: EnumSchema, text: string, name: string, range: TextRange) {
  const names = schema.values.map((v) => v.value);
  if (names.includes(text)) return { kind: 'text', value: text } as const;
  const suggestion = names.find((n) => n.toLowerCase() === text.toLowerCase()) ?? nearest(text, names) ?? '';
  const operands = { key: name, value: excerpt(text), allowed: names.join(', '), suggestion };
  return report(context, faults.MANIFEST_WRONG_VALUE, operands, range);
}

function checkInteger(context: CheckContext, schema: IntegerSchema, text: string, name: string, range: TextRange) {
  const units = schema.unit === 'size' || schema.unit === 'address';
  const number = parseNumber(text, units);
  if (!number.ok) {
    const definition = number.reason === 'unit' ? faults.MANIFEST_SIZE_UNIT : faults.MANIFEST_NOT_A_NUMBER;
    const operands = { key: name, value: excerpt(text), suggestion: number.suggestion ?? '' };
    return report(context, definition, operands, range);
  }
  if (number.value < schema.min || number.value > schema.max) {
    const print = (n: bigint): string =>
      schema.unit === 'count' || n < 10n ? n.toString() : n < 0n ? `-0x${(-n).toString(16)}` : `0x${n.toString(16)}`;
    const operands = { key: name, value: excerpt(text), min: print(schema.min), max: print(schema.max) };
    return report(context, faults.MANIFEST_OUT_OF_RANGE, operands, range);
  }
  return { kind: 'integer', value: number.value } as const;
}

function checkBytes(context: CheckContext, schema: BytesSchema, text: string, name: string, range: TextRange) {
  const digits = text.replace(/^0x/i, '').replace(/[\s_:]/g, '');
  const wrong = /[^0-9a-f]/i.exec(digits);
  if (wrong) {
    const operands = { key: name, character: wrong[0], index: wrong.index };
    return report(context, faults.MANIFEST_HEX_DIGITS, operands, range);
  }
  if (digits.length !== schema.length * 2) {
    const operands = { key: name, digits: digits.length, expected: schema.length * 2, bytes: schema.length };
    return report(context, faults.MANIFEST_HEX_LENGTH, operands, range);
  }
  const value = new Uint8Array(schema.length);
  for (let i = 0; i < value.length; i++) value[i] = Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16);
  return { kind: 'bytes', value } as const;
}

function checkChoice(context: CheckContext, schema: ChoiceSchema, node: Node, name: string, range: TextRange) {
  if (isMap(node)) return checkMap(context, schema.map, node, name, range);
  if (!isScalar(node)) return wrongType(context, schema, node, name, range);
  const text = scalarText(node);
  const integer = schema.scalars.find((s) => s.kind === 'integer');
  const other = schema.scalars.find((s) => s.kind === 'text');
  // What begins like a number is meant as one; a file of such a name can be written ./0x1.
  if (integer && (!other || /^[+-]?\d[\w]*$/.test(text))) return checkInteger(context, integer, text, name, range);
  if (other) return { kind: 'text', value: text } as const;
  return wrongType(context, schema, node, name, range);
}

interface Entry {
  readonly name: string;
  readonly key: TextRange;
  readonly value: Node | null;
}

/** The pairs of a map in order; duplicates are reported and left out. */
function entriesOf(context: CheckContext, node: Node): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  if (!isMap(node)) return entries;
  for (const pair of node.items) {
    const keyNode = pair.key as Node | null;
    if (!isScalar(keyNode)) {
      const at = keyNode ? rangeOf(keyNode, context.text) : rangeOf(node, context.text);
      const operands = { key: 'the key', expected: 'a word', found: keyNode ? kindOf(keyNode) : 'nothing' };
      report(context, faults.MANIFEST_WRONG_TYPE, operands, at);
      continue;
    }
    const name = scalarText(keyNode);
    const key = rangeOf(keyNode, context.text);
    if (entries.has(name)) report(context, faults.MANIFEST_DUPLICATE_KEY, { key: excerpt(name) }, key);
    else entries.set(name, { name, key, value: pair.value as Node | null });
  }
  return entries;
}

function checkMap(
  context: CheckContext,
  schema: MapSchema,
  node: Node,
  name: string,
  range: TextRange,
  shape?: string,
): CheckedValue | undefined {
  if (!isMap(node)) return wrongType(context, schema, node, name, range);
  const checked = new Map<string, Checked>();
  const where = name === '' ? 'the file' : `\`${name}\``;
  const present = entriesOf(context, node);
  for (const entry of present.values()) {
    const field = fieldOf(schema, entry.name);
    if (!field) {
      if (context.problems.length >= MAX_PROBLEMS) continue;
      const names = schema.fields.map((f) => f.key);
      const free = names.filter((n) => !present.has(n));
      const operands = {
        key: excerpt(entry.name),
        where,
        allowed: names.join(', '),
        suggestion: nearest(entry.name, free) ?? '',
      };
      report(context, faults.MANIFEST_UNKNOWN_KEY, operands, entry.key);
      continue;
    }
    const value = checkNode(
      context,
      field.value,
      entry.value,
      name === '' ? field.key : `${name}.${field.key}`,
      entry.key,
    );
    if (value) checked.set(field.key, value);
  }
  for (const field of schema.fields) {
    if (!field.required || present.has(field.key)) continue;
    const operands = { key: field.key, where, example: field.example ?? `${field.key}: …` };
    report(context, field.missing ?? faults.MANIFEST_MISSING_KEY, operands, firstLine(context.text, range));
  }
  const keys = new Set(present.keys());
  return { kind: 'map', entries: checked, keys, ...(shape === undefined ? {} : { shape }) };
}

function checkShapes(context: CheckContext, schema: UpdateSchema, node: Node, name: string, range: TextRange) {
  if (!isMap(node)) return wrongType(context, schema, node, name, range);
  const shape = shapeOf(schema, node);
  if (shape) return checkMap(context, shape.map, node, name, range, shape.name);
  const found = node.items.map((pair) => (isScalar(pair.key) ? excerpt(scalarText(pair.key)) : '?')).join(', ');
  const shapes = [...new Set(schema.shapes.map((s) => s.key))].join(', ');
  return report(context, faults.MANIFEST_UPDATE_SHAPE, { shapes, found }, firstLine(context.text, range));
}

/** The shape whose key the map has; a misspelled value of the key takes the first shape, which then reports it. */
export function shapeOf(schema: UpdateSchema, node: Node) {
  if (!isMap(node)) return undefined;
  const values = new Map<string, string | undefined>();
  for (const pair of node.items) {
    if (!isScalar(pair.key)) continue;
    values.set(scalarText(pair.key), isScalar(pair.value) ? scalarText(pair.value) : undefined);
  }
  const candidates = schema.shapes.filter((shape) => values.has(shape.key));
  return candidates.find((s) => s.value === undefined || s.value === values.get(s.key)) ?? candidates[0];
}

function follow(context: CheckContext, node: Node | null | undefined): Node | null | undefined {
  if (!node) return null;
  if (!isAlias(node)) return node;
  const refuse = (reason: string) =>
    report(context, faults.MANIFEST_BAD_ALIAS, { name: excerpt(node.source), reason }, rangeOf(node, context.text));
  if (++context.aliases > MAX_ALIASES) return refuse(`a file may use at most ${MAX_ALIASES} aliases`);
  const target = node.resolve(context.document);
  if (!target) return refuse('there is no anchor of that name before it');
  if (isAlias(target)) return refuse('its anchor is an alias, too');
  return target;
}

function wrongType(context: CheckContext, schema: ValueSchema, node: Node, name: string, range: TextRange): undefined {
  const operands = { key: name === '' ? 'the file' : name, expected: describeValue(schema), found: kindOf(node) };
  return report(context, faults.MANIFEST_WRONG_TYPE, operands, firstLine(context.text, range));
}

function kindOf(node: Node): string {
  if (isMap(node)) return 'a map';
  if (isSeq(node)) return 'a list';
  return isScalar(node) ? `\`${excerpt(scalarText(node))}\`` : 'an alias';
}

/** The text that was written, for plain scalars; so that 6.10 stays 6.10 and not 6.1. */
export function scalarText(node: Scalar): string {
  if (node.type === 'PLAIN' && node.source !== undefined) return node.source;
  return node.value === null || node.value === undefined ? '' : String(node.value);
}

function isEmpty(node: Node): boolean {
  return (
    isScalar(node) && node.value === null && (node.source === undefined || /^(null|Null|NULL|~)?$/.test(node.source))
  );
}

/** Range of a node without the white space that YAML counts to block collections. */
export function rangeOf(node: Node, text: string): TextRange {
  const range = node.range;
  if (!range) return { start: 0, end: 0 };
  const [start] = range;
  let end = range[1];
  while (end > start && /\s/.test(text[end - 1] ?? '')) end--;
  return { start, end };
}

function firstLine(text: string, range: TextRange): TextRange {
  const slice = text.slice(range.start, range.end);
  const newline = slice.search(/[\r\n]/);
  return newline < 0 ? range : { start: range.start, end: range.start + newline };
}

function meantBoolean(text: string): string {
  if (/^(yes|on|y|1|true)$/i.test(text)) return 'true';
  return /^(no|off|n|0|false)$/i.test(text) ? 'false' : '';
}

function excerpt(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  return line.length > 60 ? `${line.slice(0, 57)}…` : line;
}
