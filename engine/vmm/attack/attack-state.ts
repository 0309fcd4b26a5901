import type { Pfn } from '../../address.js';
import type { AttackPlan } from '../../spec/attacks.js';

/** What a malicious host does, and how far it has come. Plain data, as all state. */
export interface AttackState extends AttackPlan {
  /** Steps done. */
  step: number;
  /** Lines that the guest had printed at the last step; undefined before the page is validated. */
  lines?: number;
  /** The guest's page as the host first found it. */
  original?: Pfn;
  /** Ciphertext that the host has saved. */
  saved?: Uint8Array;
  /** The host's own page, or the one that it puts in the place of the guest's. */
  other?: Pfn;
}

export function createAttack(plan: AttackPlan): AttackState {
  return { ...plan, step: 0 };
}
