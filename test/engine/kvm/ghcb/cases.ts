import { AP_CASES } from './ap-cases.js';
import { GUEST_REQUEST_CASES } from './guest-request-cases.js';
import { PSC_CASES } from './psc-cases.js';
import { PSC_MSR_CASES } from './psc-msr-cases.js';
import type { GhcbCase } from './refusal-case.js';
import { REQUEST_CASES } from './request-cases.js';

/** Every refusal of a VMGEXIT that a test produces. */
export const GHCB_CASES: readonly GhcbCase[] = [
  ...REQUEST_CASES,
  ...PSC_MSR_CASES,
  ...PSC_CASES,
  ...AP_CASES,
  ...GUEST_REQUEST_CASES,
];
