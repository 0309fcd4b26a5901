import { complete, exitOf, msrRequest } from './fake-guest.js';
import type { GhcbCase } from './refusal-case.js';

const ERROR = 0x8000_0000_0000_0015n;

export const PSC_MSR_CASES: readonly GhcbCase[] = [
  {
    name: 'a page state change by MSR that the VMM refuses',
    check: 'kvm-psc-msr-userspace',
    run: (guest) => {
      msrRequest(guest, (2n << 52n) | 0x7014n);
      exitOf(guest, 'KVM_EXIT_HYPERCALL').ret = 22n;
      return complete(guest);
    },
    msr: ERROR,
  },
];
