/**
 * A policy that is refused, but is one slip of the pen away from a usual one: a zero too many or too few
 * (0x300000 for 0x30000), or a hex number written without its 0x. The numbers look alike and differ in every
 * bit that matters, so the list of refused bits alone does not tell what happened.
 */
import { hex } from '../../engine/address.js';
import { defineFault, type Fault, formatCode, makeFault } from '../../engine/fault.js';
import { bitNames } from './policy-bits.js';
import { writtenPolicy } from './policy-place.js';
import { coversPolicyChecks, policyRefusals } from './policy-verdict.js';
import type { Fix, FixContext, HostProfiles, Rule } from './rule.js';

export const POLICY_DID_YOU_MEAN = defineFault<{
  policy: string;
  meant: string;
  slip: string;
  set: string;
  clear: string;
  refused: string;
}>({
  check: 'lint-policy-did-you-mean',
  layer: 'manifest',
  command: 'policy',
  code: { kind: 'input' },
  title: 'Mistyped policy',
  message: (o) =>
    `The policy ${o.policy} has ${o.slip}: did you mean ${o.meant}? As written it sets ${o.set} and leaves ${o.clear} clear, and ${o.refused}.`,
  why: 'The usual policy is 0x30000: bit 16 (SMT allowed) and bit 17 (reserved, must be one). With a zero too many the same digits set bits 20 and 21 instead, SINGLE_SOCKET and CXL_ALLOW, and leave both required bits clear. Even published examples have had this slip.',
  hint: (o) => `Write ${o.meant}.`,
  reference: 'AMD pub. 56860, guest policy; AMDESE/sev-guest issue 33',
  confirmed: true,
});

/** Policies that people mean: the default, with debugging, single socket, and both. */
const USUAL = [0x3_0000n, 0xb_0000n, 0x13_0000n, 0x1b_0000n] as const;

export const policyDidYouMean: Rule = {
  name: 'policy-did-you-mean',
  manifest: check,
  policy: check,
  fixes,
  covers: coversPolicyChecks(POLICY_DID_YOU_MEAN.check),
};

function check(context: FixContext): readonly Fault[] {
  const found = slipOf(context);
  if (!found) return [];
  const { value, text, meant, slip, file, range } = found;
  const operands = {
    policy: text,
    meant: hex(meant),
    slip,
    set: bitNames(value & ~meant),
    clear: bitNames(meant & ~value),
    refused: refusedBy(context),
  };
  return [makeFault(POLICY_DID_YOU_MEAN, operands, { at: { file, range } })];
}

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  const policy = writtenPolicy(context);
  const found = slipOf(context);
  if (!policy || !found) return [];
  const refused = policyRefusals(policy.value, policy.host).some((f) => f.check === fault.check);
  if (!refused && fault.check !== POLICY_DID_YOU_MEAN.check) return [];
  const title = `Change the policy to ${hex(found.meant)}`;
  return [{ title, preferred: true, changes: policy.replaceBy(found.meant) }];
}

interface Slip {
  readonly value: bigint;
  readonly text: string;
  readonly meant: bigint;
  readonly slip: string;
  readonly file: string;
  readonly range: { readonly start: number; readonly end: number };
}

/** A slip explains all refused bits at once. */
export function isSlip(context: FixContext): boolean {
  return slipOf(context) !== undefined;
}

function refusedBy(context: FixContext): string {
  const policy = writtenPolicy(context);
  const [first] = policy ? policyRefusals(policy.value, policy.host) : [];
  return first ? `${first.command} ends with ${formatCode(first.code)}` : 'nothing refuses it';
}

function slipOf(context: FixContext): Slip | undefined {
  const policy = writtenPolicy(context);
  const text = policy?.numberText;
  if (!policy || text === undefined || policyRefusals(policy.value, policy.host).length === 0) return undefined;
  for (const { value, slip } of variants(policy.value, text)) {
    const meant = USUAL.find((usual) => usual === value && accepted(usual, policy.host));
    if (meant !== undefined) return { value: policy.value, text, meant, slip, file: policy.file, range: policy.range };
  }
  return undefined;
}

function accepted(policy: bigint, host: HostProfiles): boolean {
  return policyRefusals(policy, host).length === 0;
}

function variants(value: bigint, text: string): readonly { readonly value: bigint; readonly slip: string }[] {
  const found = [
    { value: value >> 4n, slip: 'one zero too many' },
    { value: value >> 8n, slip: 'two zeros too many' },
    { value: value << 4n, slip: 'one zero too few' },
    { value: value << 8n, slip: 'two zeros too few' },
  ];
  if (/^\d{1,16}$/.test(text)) {
    const digits = BigInt(`0x${text}`);
    found.unshift({ value: digits, slip: 'no 0x before its hex digits' });
    found.push({ value: digits >> 4n, slip: 'no 0x before its hex digits and one zero too many' });
  }
  return found;
}
