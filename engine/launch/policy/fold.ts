import { defineFault } from '../../fault.js';
import { type CheckContext, report } from '../grammar/check.js';
import { booleanOf, type Checked, childOf, textOf } from '../grammar/checked.js';
import type { PolicyFieldTree } from '../manifest/tree.js';
import { POLICY_FIELDS, POLICY_RESERVED_MBO } from './fields.js';

export const POLICY_ABI_VERSION = defineFault<{ value: string }>({
  check: 'policy-abi-version',
  layer: 'manifest',
  command: 'policy',
  code: { kind: 'input' },
  title: 'Not an ABI version',
  message: (o) => `\`abi\` is \`${o.value}\`; it must be a version such as "1.51", each part from 0 to 255.`,
  why: 'ABI_MAJOR and ABI_MINOR are one byte each; the firmware refuses a launch that demands a newer ABI than its own.',
  hint: 'Write major and minor version with a dot between them, in quotes.',
  reference: 'AMD pub. 56860, SNP_LAUNCH_START, guest policy',
  confirmed: true,
});

/** Named policy fields that are present, in the order of their bits. */
export function policyFieldsOf(context: CheckContext, map: Checked | undefined): PolicyFieldTree[] {
  const fields: PolicyFieldTree[] = [];
  for (const field of POLICY_FIELDS) {
    const node = childOf(map, field.name);
    const flag = booleanOf(node);
    const text = textOf(node);
    if (flag) fields.push({ ...flag, name: field.name, value: flag.value ? 1n : 0n });
    if (text) {
      const version = /^(\d{1,3})\.(\d{1,3})$/.exec(text.value);
      const major = BigInt(version?.[1] ?? 256);
      const minor = BigInt(version?.[2] ?? 256);
      if (major > 255n || minor > 255n)
        report(context, POLICY_ABI_VERSION, { value: text.value.slice(0, 40) }, text.range);
      else fields.push({ ...text, name: field.name, value: (major << 8n) | minor });
    }
  }
  return fields;
}

/** The policy of the named fields: a field that is not named is zero, and reserved bit 17 is one. */
export function foldPolicy(fields: readonly PolicyFieldTree[]): bigint {
  let policy = POLICY_RESERVED_MBO;
  for (const { name, value } of fields) {
    const field = POLICY_FIELDS.find((f) => f.name === name);
    if (field) policy |= value << BigInt(field.bit);
  }
  return policy;
}
