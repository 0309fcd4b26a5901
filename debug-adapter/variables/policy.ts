import { describePolicy } from '../../engine/launch/policy/fields.js';
import { groupView, hexView, type Member, member, type View } from './view.js';

/** A guest policy: its number, and one child for each field. */
export function policyView(policy: bigint): View {
  return { ...groupView(hexView(policy).text, () => policyMembers(policy), 'policy'), scalar: policy };
}

export function policyMembers(policy: bigint): readonly Member[] {
  return describePolicy(policy).map(({ name, bits, value, meaning }) =>
    // Reserved bits come in several fields.
    member(name === 'reserved' ? `reserved ${bits}` : name, {
      text: `${value}: ${meaning} (bits ${bits})`,
      type: 'policy field',
      scalar: scalarOf(value),
    }),
  );
}

function scalarOf(value: string): boolean | string {
  return value === 'true' || value === 'false' ? value === 'true' : value;
}
