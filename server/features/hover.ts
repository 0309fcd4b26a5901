import { type Hover, MarkupKind } from 'vscode-languageserver';
import { isScalar } from 'yaml';
import { MANIFEST_SCHEMA } from '../../engine/launch/manifest/schema.js';
import { POLICY_SCHEMA } from '../../engine/launch/policy/schema.js';
import type { Analysis } from '../analysis.js';
import { schemaAt } from '../schema-walk.js';
import { placeAt, type YamlPlace } from '../yaml-position.js';
import { explainValue } from './hover-values.js';
import { rangeOf } from './ranges.js';

/** Documentation of the key, and what the value under the cursor means. */
export function hover(analysis: Analysis, offset: number): Hover | undefined {
  const parsed = analysis.manifest ?? analysis.policy;
  if (!parsed) return undefined;
  const place = placeAt(parsed.document, offset);
  if (!place) return undefined;
  const text = describe(analysis, place);
  if (text === undefined) return undefined;
  return { contents: { kind: MarkupKind.Markdown, value: text }, range: rangeOf(analysis.lines, place.range) };
}

function describe(analysis: Analysis, place: YamlPlace): string | undefined {
  const document = (analysis.manifest ?? analysis.policy)?.document;
  if (!document) return undefined;
  const root = analysis.kind === 'manifest' ? MANIFEST_SCHEMA : POLICY_SCHEMA;
  const schema = schemaAt(root, document, place.path);
  const parts: string[] = [];
  const { field } = schema ?? {};
  if (place.role === 'value' && isScalar(place.node)) {
    const value = explainValue(analysis, place.path);
    if (value !== undefined) parts.push(value);
    if (schema?.value.kind === 'enum') {
      const written = String(place.node.value);
      const entry = schema.value.values.find((candidate) => candidate.value === written);
      if (entry) parts.push(`**${entry.value}**: ${entry.doc}`);
    }
  }
  if (field && (place.role === 'key' || parts.length > 0 || isScalar(place.node))) {
    const facts = [
      field.required ? 'required' : field.default === undefined ? undefined : `default \`${field.default}\``,
      field.example === undefined ? undefined : `example \`${field.example}\``,
    ].filter((fact) => fact !== undefined);
    parts.push(`**${field.key}**: ${field.doc}${facts.length > 0 ? ` (${facts.join('; ')})` : ''}`);
  }
  if (place.role === 'key') {
    const value = explainValue(analysis, place.path);
    if (value !== undefined) parts.push(value);
  }
  return parts.length > 0 ? parts.join('\n\n') : undefined;
}
