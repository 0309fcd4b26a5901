import type { ExitHandling } from '../../../../engine/kvm/run/kvm-exit.js';
import { VMGEXIT } from '../../../../engine/spec/ghcb-layout.js';
import { type FakeGuest, PRIVATE_GPA, vmgexit } from './fake-guest.js';
import { type GhcbCase, malformed } from './refusal-case.js';

/** AP creation, and its refusals. */

export const [CREATE_ON_INIT, CREATE, DESTROY] = [0n, 1n, 2n];
export const VMSA = PRIVATE_GPA + 0x3000;

export interface ApRequest {
  readonly apicId?: bigint;
  readonly vmsa?: bigint;
  /** SEV_FEATURES in RAX; undefined: RAX is not given. */
  readonly features?: bigint | undefined;
}

export function createAp(guest: FakeGuest, request: bigint, more: ApRequest = {}): ExitHandling {
  const { apicId = 1n, vmsa = BigInt(VMSA), features } = { features: 1n, ...more };
  const fields = features === undefined ? {} : { RAX: features };
  return vmgexit(guest, { code: VMGEXIT.AP_CREATION, info1: (apicId << 32n) | request, info2: vmsa, fields });
}

const INVALID_INPUT = malformed(5);

const refusal = (name: string, check: string, request: bigint, more: ApRequest, says?: RegExp): GhcbCase => ({
  name,
  check,
  guest: { vcpus: 2 },
  run: (guest) => createAp(guest, request, more),
  info: INVALID_INPUT,
  ...(says ? { says } : {}),
});

export const AP_CASES: readonly GhcbCase[] = [
  refusal('of APIC ID 7', 'kvm-ap-creation-apic-id', CREATE, { apicId: 7n }, /APIC ID 0x7; the VM has 2 vCPUs/),
  refusal('with restricted injection', 'kvm-ap-creation-features', CREATE, { features: 0x9n }, /0x9; the VM has 0x1/),
  refusal('with alternate injection, on INIT', 'kvm-ap-creation-features', CREATE_ON_INIT, { features: 0x11n }),
  refusal('with a VMSA that is not aligned', 'kvm-ap-creation-address', CREATE, { vmsa: 0x20_1008n }, /not aligned/),
  refusal('with an address beyond the physical ones', 'kvm-ap-creation-address', CREATE, { vmsa: 1n << 45n }, /0x2000/),
  refusal('with a VMSA at a 2 MiB boundary', 'kvm-ap-creation-2m', CREATE, { vmsa: 0x20_0000n }),
  refusal('with request 3', 'kvm-ap-creation-request', 3n, {}),
  refusal('at VMPL 1', 'kvm-ap-creation-request', CREATE | (1n << 16n), {}, /0x10001/),
];
