import type { SourceLocation } from '../fault.js';
import type { LaunchPlan } from '../launch/plan.js';

/** Where the manifest names the firmware: the update that loads it, otherwise the first update entry. */
export function firmwareAt(plan: LaunchPlan): SourceLocation | undefined {
  const update = plan.updates.find((u) => u.source?.bytes === plan.firmware?.bytes);
  return update?.at ?? plan.entries.find((entry) => entry.kind === 'update')?.at;
}
