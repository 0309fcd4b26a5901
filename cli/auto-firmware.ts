import type { ParsedManifest } from '../engine/launch/manifest/parse.js';
import type { LaunchPlan } from '../engine/launch/plan.js';

/** The image that `firmware: auto` stands for, if the manifest says so: results depend on it. */
export function autoFirmware({ tree }: ParsedManifest, plan: LaunchPlan): string | undefined {
  const updates = tree.launch?.update ?? [];
  return updates.some((update) => update.kind === 'firmware' && update.path.value === 'auto')
    ? plan.firmware?.path
    : undefined;
}
