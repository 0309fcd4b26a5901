import type { RmpEntry } from './entry.js';

/** The states of a page, spelled as AMD spells them (AMDESE/sev-tool src/rmp.h, state table). */
export type PageState =
  | 'Default'
  | 'Hypervisor'
  | 'HV-Fixed'
  | 'Firmware'
  | 'Reclaim'
  | 'Context'
  | 'Metadata'
  | 'Pre-Guest'
  | 'Pre-Swap'
  | 'Guest-Invalid'
  | 'Guest-Valid';

/** Each entry is in exactly one state. `initialised` is false before SNP_INIT. */
export function pageState(entry: RmpEntry, initialised = true): PageState {
  if (!initialised) return 'Default';
  // HV-Fixed as assigned=0, immutable=1 is not confirmed on real hardware.
  if (!entry.assigned) return entry.immutable ? 'HV-Fixed' : 'Hypervisor';
  if (entry.asid > 0) {
    if (entry.immutable) return entry.validated ? 'Pre-Swap' : 'Pre-Guest';
    return entry.validated ? 'Guest-Valid' : 'Guest-Invalid';
  }
  if (!entry.immutable) return 'Reclaim';
  if (entry.vmsa) return 'Context';
  return entry.gpa > 0 ? 'Metadata' : 'Firmware';
}
