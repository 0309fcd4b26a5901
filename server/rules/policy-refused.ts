/**
 * The guest policy is refused by KVM or by the SNP firmware. Hardware tells only the first failing check, as
 * -EINVAL without a word or as POLICY_FAILURE; this rule runs the checks of the KVM release and of the firmware
 * ABI of the manifest's `host:` and reports every wrong bit at once, at the field that sets it. Where both object
 * to the same bits, the refusal that comes first in a launch is shown. A mistyped policy and one of SEV guests are
 * left to their own rules.
 */
import { hex } from '../../engine/address.js';
import type { Fault } from '../../engine/fault.js';
import { bitNames } from './policy-bits.js';
import { isSlip } from './policy-did-you-mean.js';
import { writtenPolicy } from './policy-place.js';
import { isSevStyle } from './policy-sev-style.js';
import { distinctRefusals, policyRefusals, repairedPolicy } from './policy-verdict.js';
import type { Fix, FixContext, Rule } from './rule.js';

export const policyRefused: Rule = { name: 'policy-refused', manifest: check, policy: check, fixes };

function check(context: FixContext): readonly Fault[] {
  const policy = writtenPolicy(context);
  // A mistyped policy is one mistake, and another rule names it: its bits are consequences.
  if (!policy || isSlip(context) || isSevStyle(policy.value)) return [];
  return distinctRefusals(policy.value, policy.host).map(({ fault, bits }) => ({
    ...fault,
    message:
      /\bbits? \d+\b/i.test(fault.message) || bits <= 0xffffn
        ? fault.message
        : `${fault.message} Concerned: ${bitNames(bits)}.`,
    at: { file: policy.file, range: policy.rangeOfBits(bits) },
  }));
}

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  const policy = writtenPolicy(context);
  if (!policy || !policyRefusals(policy.value, policy.host).some((f) => f.check === fault.check)) return [];
  const next = repairedPolicy(policy.value, policy.host);
  if (next === undefined) return [];
  const changes = policy.replaceBy(next);
  if (changes.length === 0) return [];
  return [{ title: `Change the policy to ${hex(next)} (only the wrong bits)`, changes }];
}
