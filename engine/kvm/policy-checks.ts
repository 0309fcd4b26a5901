import { hex } from '../address.js';
import { POLICY_BIT } from '../asp/policy-checks.js';
import { defineFault, type Fault, makeFault } from '../fault.js';
import { errno } from '../spec/errno.js';
import type { FirmwareProfile, KvmProfile } from '../spec/versions.js';

/** What KVM_SEV_SNP_LAUNCH_START asks of the policy before the firmware sees it. */

const COMMAND = 'KVM_SEV_SNP_LAUNCH_START';
const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c snp_launch_start()';

export const POLICY_MASK = defineFault<{ policy: bigint; unknown: string; mask: string; release: string }>({
  check: 'kvm-policy-unknown-bits',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Policy sets bits that KVM does not accept',
  message: (o) =>
    `The policy ${hex(o.policy)} sets ${o.unknown}, outside of the bits ${o.mask} that KVM ${o.release} accepts.`,
  why: 'KVM refuses policy bits whose consequences for the host it does not handle: bit 18 (migration agent), and bits that it does not know yet. The firmware is not asked at all, so fw_error stays 0.',
  hint: (o) =>
    o.policy === 0x30_0000n
      ? 'Did you mean 0x30000? 0x300000 has one zero too many.'
      : `Clear these bits: ${hex(o.policy & ~BigInt(o.unknown))}.`,
  reference: `${REFERENCE}, SNP_POLICY_MASK_VALID`,
  confirmed: true,
});

export const POLICY_MBO = defineFault<{ policy: bigint }>({
  check: 'kvm-policy-reserved-one',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Policy bit 17 must be one',
  message: (o) => `Bit 17 of the policy ${hex(o.policy)} is 0.`,
  why: 'Bit 17 is reserved and must be one (SNP_POLICY_MASK_RSVD_MBO). KVM checks it, so that the mistake is found before the firmware is asked.',
  hint: (o) => `Set bit 17: ${hex(o.policy | POLICY_BIT.RESERVED_MBO)}. The usual policy is 0x30000.`,
  reference: REFERENCE,
  confirmed: true,
});

export const POLICY_SMT = defineFault<{ policy: bigint; release: string }>({
  check: 'kvm-policy-smt',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Policy must allow SMT',
  message: (o) => `Bit 16 (SMT) of the policy ${hex(o.policy)} is 0, which KVM ${o.release} does not support.`,
  why: 'A policy without the bit demands a host without simultaneous multithreading. KVM of this release refuses such policies, whatever the host is.',
  hint: (o) => `Set bit 16: ${hex(o.policy | POLICY_BIT.SMT)}.`,
  reference: REFERENCE,
  confirmed: true,
});

export const POLICY_SINGLE_SOCKET = defineFault<{ policy: bigint; release: string }>({
  check: 'kvm-policy-single-socket',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Single-socket policy not supported',
  message: (o) =>
    `Bit 20 (SINGLE_SOCKET) of the policy ${hex(o.policy)} is 1, which KVM ${o.release} does not support.`,
  why: 'The bit demands that the guest is active on one socket only. That needs SNP_ACTIVATE_EX, which KVM of this release does not use.',
  hint: (o) => `Clear bit 20: ${hex(o.policy & ~POLICY_BIT.SINGLE_SOCKET)}.`,
  reference: REFERENCE,
  confirmed: true,
});

/** Policy bits that KVM accepts with this firmware. */
export function acceptedPolicyBits(kvm: KvmProfile, firmware: FirmwareProfile): bigint {
  return kvm.policyMask | (kvm.policyFeatureBits & firmware.knownPolicyBits);
}

/** All policy checks of KVM that fail, in the order of snp_launch_start(), which reports the first. */
export function kvmPolicyFaults(policy: bigint, kvm: KvmProfile, firmware: FirmwareProfile): Fault[] {
  const faults: Fault[] = [];
  const { release } = kvm;
  const mask = acceptedPolicyBits(kvm, firmware);
  const unknown = policy & ~mask;
  if (unknown !== 0n) faults.push(makeFault(POLICY_MASK, { policy, unknown: hex(unknown), mask: hex(mask), release }));
  if ((policy & POLICY_BIT.RESERVED_MBO) === 0n) faults.push(makeFault(POLICY_MBO, { policy }));
  if (kvm.policySmtRequired && (policy & POLICY_BIT.SMT) === 0n)
    faults.push(makeFault(POLICY_SMT, { policy, release }));
  if (kvm.policySingleSocketRefused && (policy & POLICY_BIT.SINGLE_SOCKET) !== 0n) {
    faults.push(makeFault(POLICY_SINGLE_SOCKET, { policy, release }));
  }
  return faults;
}
