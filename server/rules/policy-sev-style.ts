/**
 * A policy in the format of SEV or SEV-ES guests. Their policy is a small number whose bits mean other things
 * (NODBG 0, NOKS 1, ES 2, NOSEND 3, DOMAIN 4, SEV 5), so 0x1, 0x5 or 0x7 from an SEV command line says nothing
 * to SNP, where bits 15:0 are the oldest firmware ABI and bit 17 must be one.
 */
import { hex } from '../../engine/address.js';
import { defineFault, type Fault, makeFault } from '../../engine/fault.js';
import { writtenPolicy } from './policy-place.js';
import { coversPolicyChecks, policyRefusals } from './policy-verdict.js';
import type { Fix, FixContext, Rule } from './rule.js';

export const POLICY_SEV_STYLE = defineFault<{ policy: bigint; meaning: string; abi: string; meant: string }>({
  check: 'lint-policy-sev-style',
  layer: 'manifest',
  command: 'policy',
  code: { kind: 'input' },
  title: 'Policy of an SEV or SEV-ES guest',
  message: (o) =>
    `${hex(o.policy)} is a policy of SEV or SEV-ES guests (${o.meaning}). SNP would read it as a demand for firmware ABI ${o.abi}, without the required bits.`,
  why: 'The guest policies of SEV, SEV-ES and SNP are different structures. QEMU has the property `policy` on both `sev-guest` and `sev-snp-guest`, and values of the one do not fit the other.',
  hint: (o) => `Write the SNP policy instead: ${o.meant}.`,
  reference: 'AMD pub. 55766, guest policy (SEV); AMD pub. 56860, guest policy (SNP)',
  confirmed: true,
});

const SEV_BITS = ['NODBG', 'NOKS', 'ES', 'NOSEND', 'DOMAIN', 'SEV'] as const;
const SEV_MASK = 0x3fn;
/** Oldest SNP ABI minor in the field; from here on small numbers can be meant as a version. */
const FIRST_ABI_MINOR = 0x33n;
/** Also for an SEV policy without NODBG: that hardly ever means that debugging is wanted. */
const SNP_DEFAULT = 0x3_0000n;

export const policySevStyle: Rule = {
  name: 'policy-sev-style',
  manifest: check,
  policy: check,
  fixes,
  covers: coversPolicyChecks(POLICY_SEV_STYLE.check),
};

function check(context: FixContext): readonly Fault[] {
  const policy = writtenPolicy(context);
  if (!policy || !isSevStyle(policy.value)) return [];
  const operands = {
    policy: policy.value,
    meaning: meaningOf(policy.value),
    abi: `${policy.value >> 8n}.${policy.value & 0xffn}`,
    meant: hex(SNP_DEFAULT),
  };
  return [makeFault(POLICY_SEV_STYLE, operands, { at: { file: policy.file, range: policy.range } })];
}

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  const policy = writtenPolicy(context);
  if (!policy || !isSevStyle(policy.value)) return [];
  const refused = policyRefusals(policy.value, policy.host).some((f) => f.check === fault.check);
  if (!refused && fault.check !== POLICY_SEV_STYLE.check) return [];
  const meant = SNP_DEFAULT;
  return [{ title: `Change the policy to ${hex(meant)}`, preferred: true, changes: policy.replaceBy(meant) }];
}

export function isSevStyle(policy: bigint): boolean {
  return policy > 0n && (policy & ~SEV_MASK) === 0n && policy < FIRST_ABI_MINOR;
}

function meaningOf(policy: bigint): string {
  return SEV_BITS.filter((_, bit) => (policy >> BigInt(bit)) & 1n).join(', ');
}
