import type { Document } from 'yaml';
import { hex } from '../../address.js';
import { defineFault, type Fault, type TextRange } from '../../fault.js';
import { report } from '../grammar/check.js';
import { childOf, integerOf, type Placed } from '../grammar/checked.js';
import { parseWith } from '../grammar/parse.js';
import type { PolicyFieldTree } from '../manifest/tree.js';
import type { LineIndex } from '../text.js';
import { policyField, policyFieldText } from './fields.js';
import { foldPolicy, policyFieldsOf } from './fold.js';
import { POLICY_SCHEMA } from './schema.js';

export const POLICY_DISAGREES = defineFault<{ field: string; written: string; value: string; inValue: string }>({
  check: 'policy-value-disagrees',
  layer: 'manifest',
  command: 'policy file',
  code: { kind: 'input' },
  title: 'Named field and value of the policy disagree',
  message: (o) =>
    `\`${o.field}: ${o.written}\` contradicts \`value: ${o.value}\`, in which ${o.field} is ${o.inValue}.`,
  why: 'A policy file may give the number, the fields, or both so that a reader sees what the number means. If they differ, one of them is not what its writer wanted.',
  hint: (o) => `Change \`${o.field}\` to ${o.inValue}, or correct \`value\`.`,
  reference: 'SEV-SNP Workbench, policy file',
  confirmed: true,
});

export const POLICY_EMPTY = defineFault({
  check: 'policy-empty',
  layer: 'manifest',
  command: 'policy file',
  code: { kind: 'input' },
  title: 'Policy without content',
  message: () => 'The policy file has neither `value:` nor a named field.',
  why: 'There is no default policy in a policy file: what a guest permits its host must be written down.',
  hint: 'Add `value: 0x30000` or `smt: true`.',
  reference: 'SEV-SNP Workbench, policy file',
  confirmed: true,
});

export interface ParsedPolicy {
  readonly file: string;
  readonly text: string;
  /** The policy; undefined if the file gives none that can be read. */
  readonly value?: bigint;
  /** Where `value:` stands. */
  readonly number?: Placed<bigint>;
  readonly fields: readonly PolicyFieldTree[];
  /** Where faults of the whole policy belong: the number, or the first named field. */
  readonly range: TextRange;
  readonly problems: readonly Fault[];
  readonly document: Document.Parsed;
  readonly lines: LineIndex;
}

/** Never fails: what is wrong is in `problems`. */
export function parsePolicyFile(text: string, file: string): ParsedPolicy {
  const { context, root, document, lines } = parseWith(POLICY_SCHEMA, text, file);
  const number = integerOf(childOf(root, 'value'));
  const fields = policyFieldsOf(context, root);
  if (number) {
    for (const field of fields) {
      const definition = policyField(field.name);
      if (!definition) continue;
      const inValue = policyFieldText(number.value, definition);
      const written = policyFieldText(foldPolicy([field]), definition);
      if (inValue !== written) {
        const operands = { field: field.name, written, value: hex(number.value), inValue };
        report(context, POLICY_DISAGREES, operands, field.range);
      }
    }
  }
  const given = childOf(root, 'value') !== undefined || fields.length > 0;
  if (root && !given && context.problems.length === 0)
    report(context, POLICY_EMPTY, {}, { start: 0, end: Math.min(1, text.length) });
  const value = number?.value ?? (fields.length > 0 ? foldPolicy(fields) : undefined);
  return {
    file,
    text,
    ...(value === undefined ? {} : { value }),
    ...(number ? { number } : {}),
    fields,
    range: number?.range ?? fields[0]?.range ?? { start: 0, end: Math.min(1, text.length) },
    problems: context.problems,
    document,
    lines,
  };
}
