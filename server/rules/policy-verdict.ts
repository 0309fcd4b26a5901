import { firmwarePolicyFaults } from '../../engine/asp/policy-checks.js';
import { type Fault, faultDefinitions } from '../../engine/fault.js';
import { kvmPolicyFaults } from '../../engine/kvm/policy-checks.js';
import type { Cover, HostProfiles } from './rule.js';

/** What KVM and the firmware of one host say about a policy; shared by the policy rules. */

/** ABI_MINOR and ABI_MAJOR: one demand, changed as one. */
const ABI_BITS = 0xffffn;

/** Policies that are fine on every host that can run SNP; the second one where CXL memory is populated. */
const SAFE_POLICIES = [0x3_0000n, 0x23_0000n] as const;

/** Every check of both that refuses the policy, in the order in which a launch would meet them. */
export function policyRefusals(policy: bigint, host: HostProfiles): readonly Fault[] {
  return [
    ...kvmPolicyFaults(policy, host.kvm, host.firmware),
    ...firmwarePolicyFaults(policy, host.firmware, host.processor),
  ];
}

export interface Refusal {
  readonly fault: Fault;
  /** The bits that must change for this check to pass. */
  readonly bits: bigint;
}

/** One refusal for each set of wrong bits: where the firmware objects to bits that KVM refuses too, KVM comes first. */
export function distinctRefusals(policy: bigint, host: HostProfiles): readonly Refusal[] {
  const distinct: Refusal[] = [];
  for (const fault of policyRefusals(policy, host)) {
    const bits = bitsToChange(policy, fault, host);
    const known = distinct.reduce((all, refusal) => all | refusal.bits, 0n);
    if (bits === 0n || (bits & ~known) !== 0n) distinct.push({ fault, bits });
  }
  return distinct;
}

/** The nearest policy that nothing refuses, changing only what must change. */
export function repairedPolicy(policy: bigint, host: HostProfiles): bigint | undefined {
  const wrong = distinctRefusals(policy, host).reduce((all, { bits }) => all | bits, 0n);
  let repaired = policy ^ wrong;
  // A version that is too new is lowered to that of the firmware, the nearest one that passes.
  if ((wrong & ABI_BITS) !== 0n) repaired |= BigInt((host.firmware.major << 8) | host.firmware.minor);
  return policyRefusals(repaired, host).length === 0 ? repaired : undefined;
}

/** The smallest change towards a safe policy that makes the check pass: found by trying, so it holds for any host. */
function bitsToChange(policy: bigint, fault: Fault, host: HostProfiles): bigint {
  const refused = (value: bigint): boolean => policyRefusals(value, host).some((f) => f.check === fault.check);
  const safe = SAFE_POLICIES.find((value) => !refused(value));
  if (safe === undefined) return 0n;
  let change = policy ^ safe;
  for (const group of groups(change)) if (!refused(policy ^ (change & ~group))) change &= ~group;
  return change;
}

/** The bits of `value`, one by one, the ABI version as one. */
function groups(value: bigint): readonly bigint[] {
  const found: bigint[] = [];
  if ((value & ABI_BITS) !== 0n) found.push(value & ABI_BITS);
  for (let bit = 1n << 16n; bit <= value; bit <<= 1n) if ((value & bit) !== 0n) found.push(bit);
  return found;
}

const POLICY_CHECKS = /^(kvm|fw)-policy-/;

/** A rule that explains the whole policy stands for every check of KVM and of the firmware that would refuse it. */
export function coversPolicyChecks(check: string): readonly Cover[] {
  return faultDefinitions()
    .filter((definition) => POLICY_CHECKS.test(definition.check))
    .map((definition) => ({ check, engine: definition.check }));
}
