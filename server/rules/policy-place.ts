import { type Document, isMap, isScalar } from 'yaml';
import type { TextRange } from '../../engine/fault.js';
import { POLICY_FIELDS, policyFieldText } from '../../engine/launch/policy/fields.js';
import { parsePolicyFile } from '../../engine/launch/policy/parse.js';
import { keyAt, nodeAt, pairRange, rangeOfNode, type YamlPath } from '../yaml-position.js';
import type { FixContext, HostProfiles, ManifestContext, PolicyContext, TextChange } from './rule.js';

/** A policy as it stands in a document: its number, its place, and where each of its bits is written. */
export interface WrittenPolicy {
  readonly value: bigint;
  /** The document in which it is written: this one, or the policy file that the manifest names. */
  readonly file: string;
  /** The whole value. */
  readonly range: TextRange;
  readonly host: HostProfiles;
  /** Place of the field that sets or clears these bits, or the whole value. */
  rangeOfBits(bits: bigint): TextRange;
  /** The text as a number, when it is written as one. */
  readonly numberText?: string;
  /** Changes that make it `next`; empty when it cannot be written here (a path, a broken map). */
  replaceBy(next: bigint): readonly TextChange[];
}

export function writtenPolicy(context: FixContext): WrittenPolicy | undefined {
  return context.kind === 'manifest' ? inManifest(context) : inPolicyFile(context);
}

function inManifest(context: ManifestContext): WrittenPolicy | undefined {
  const { plan, parsed } = context;
  const field = parsed.tree.launch?.policy;
  if (!plan || !field) return undefined;
  const value = plan.start.policy;
  const common = { value, file: context.path, range: field.range, host: plan.host };
  switch (field.value.kind) {
    case 'file': {
      const read = context.files.read(field.value.path, context.path);
      if (!read.ok) return undefined;
      const text = new TextDecoder().decode(read.file.bytes);
      const { path } = read.file;
      const { crypto, files } = context;
      const parsed = parsePolicyFile(text, path);
      return inPolicyFile({ kind: 'policy', path, text, crypto, files, parsed, host: plan.host });
    }
    case 'number':
      return { ...common, ...numberAt(context, field.range) };
    case 'fields':
      return { ...common, ...mapAt(context, parsed.document, ['launch', 'policy'], field.range, value) };
  }
}

function inPolicyFile(context: PolicyContext): WrittenPolicy | undefined {
  const { parsed } = context;
  if (parsed.value === undefined) return undefined;
  const node = nodeAt(parsed.document, ['value']);
  const whole = wholeRange(parsed.document);
  const common = { value: parsed.value, file: context.path, host: context.host };
  const map = mapAt(context, parsed.document, [], whole, parsed.value);
  if (!node) return { ...common, range: whole, ...map };
  const range = rangeOfNode(node);
  const number = numberAt(context, range);
  return {
    ...common,
    range,
    numberText: number.numberText,
    rangeOfBits: (bits) => fieldRange(parsed.document, [], bits) ?? range,
    replaceBy: (next) => (hasFields(parsed.document) ? map.replaceBy(next) : number.replaceBy(next)),
  };
}

function numberAt(
  context: FixContext,
  range: TextRange,
): Pick<WrittenPolicy, 'rangeOfBits' | 'numberText' | 'replaceBy'> {
  return {
    rangeOfBits: () => range,
    numberText: context.text.slice(range.start, range.end),
    replaceBy: (next) => [{ file: context.path, range, newText: `0x${next.toString(16)}` }],
  };
}

function mapAt(
  context: FixContext,
  document: Document,
  path: YamlPath,
  range: TextRange,
  value: bigint,
): Pick<WrittenPolicy, 'rangeOfBits' | 'replaceBy'> {
  return {
    rangeOfBits: (bits) => fieldRange(document, path, bits) ?? range,
    replaceBy: (next) => fieldChanges(context, document, path, value, next),
  };
}

/** Place of the first named field that owns one of the bits. */
function fieldRange(document: Document, path: YamlPath, bits: bigint): TextRange | undefined {
  for (const field of POLICY_FIELDS) {
    const mask = ((1n << BigInt(field.width)) - 1n) << BigInt(field.bit);
    if ((bits & mask) === 0n) continue;
    const range = pairRange(document, [...path, field.name]);
    if (range) return range;
  }
  return undefined;
}

function hasFields(document: Document): boolean {
  return POLICY_FIELDS.some((field) => keyAt(document, [field.name]) !== undefined);
}

/** Rewrites the fields that change, and adds those that are not there; a `value:` beside them is kept in step. */
function fieldChanges(
  context: FixContext,
  document: Document,
  path: YamlPath,
  value: bigint,
  next: bigint,
): readonly TextChange[] {
  const changes: TextChange[] = [];
  const added: string[] = [];
  for (const field of POLICY_FIELDS) {
    const text = policyFieldText(next, field);
    if (text === policyFieldText(value, field)) continue;
    const written = field.width === 1 ? text : `"${text}"`;
    const node = nodeAt(document, [...path, field.name]);
    if (node) changes.push({ file: context.path, range: rangeOfNode(node), newText: written });
    else added.push(`${field.name}: ${written}`);
  }
  const number = path.length === 0 ? nodeAt(document, ['value']) : undefined;
  if (number) changes.push({ file: context.path, range: rangeOfNode(number), newText: `0x${next.toString(16)}` });
  const insertion = added.length > 0 ? insertFields(context, document, path, added) : undefined;
  return insertion ? [...changes, insertion] : added.length > 0 ? [] : changes;
}

/** Puts the fields before the first key of the map, in its style and indentation. */
function insertFields(
  context: FixContext,
  document: Document,
  path: YamlPath,
  fields: readonly string[],
): TextChange | undefined {
  const map = path.length === 0 ? document.contents : nodeAt(document, path);
  if (!isMap(map)) return undefined;
  const first = map.items[0]?.key;
  if (!isScalar(first) || !first.range) {
    const inside = rangeOfNode(map).start + 1;
    return map.flow
      ? { file: context.path, range: { start: inside, end: inside }, newText: ` ${fields.join(', ')} ` }
      : undefined;
  }
  const start = first.range[0];
  const lineStart = context.text.lastIndexOf('\n', start - 1) + 1;
  const separator = map.flow ? ', ' : `\n${' '.repeat(start - lineStart)}`;
  const quoted = context.text[start] === '"' ? fields.map((f) => f.replace(/^([a-z0-9-]+):/, '"$1":')) : fields;
  return { file: context.path, range: { start, end: start }, newText: `${quoted.join(separator)}${separator}` };
}

function wholeRange(document: Document): TextRange {
  return document.contents ? rangeOfNode(document.contents) : { start: 0, end: 0 };
}
