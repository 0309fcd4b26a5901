import { PAGE_SIZE } from '../engine/address.js';
import { defineFault, type Fault, makeFault } from '../engine/fault.js';
import type { ManifestTree } from '../engine/launch/manifest/tree.js';
import type { LaunchPlan } from '../engine/launch/plan.js';

/** Pages that are tried out and measured while somebody types: 64 MiB, many times what a firmware needs. */
export const MAX_LINT_PAGES = 16_384;

export const LAUNCH_TOO_LARGE = defineFault<{ pages: number; limit: number }>({
  check: 'lint-launch-too-large-to-try',
  layer: 'manifest',
  command: 'launch.update',
  code: { kind: 'input' },
  severity: 'information',
  title: 'Launch too large to try out while typing',
  message: (o) =>
    `This launch loads ${o.pages} pages; the dry run and the digest are left out above ${o.limit} pages (64 MiB).`,
  why: 'Each page is one firmware command, also here, and an editor that tries out a launch at every key stroke must stop somewhere. All other checks are made. A guest seldom needs so much: memory that is not loaded at launch is validated by the guest itself.',
  hint: 'Start the launch in the debugger, or use `sev-snp launch` and `sev-snp measure`; or check whether the length is meant.',
  reference: 'SEV-SNP Workbench, server/analysis.ts',
  confirmed: true,
});

/** The fault of a launch that is too large to be tried out now. */
export function launchTooLarge(plan: LaunchPlan, tree: ManifestTree): Fault | undefined {
  const pages = plan.updates.reduce((sum, { length }) => sum + Math.ceil(length / PAGE_SIZE), 0);
  if (pages <= MAX_LINT_PAGES) return undefined;
  const largest = plan.updates.reduce((a, b) => (b.length > a.length ? b : a));
  const range = tree.launch?.updateKey ?? largest.at.range;
  return makeFault(LAUNCH_TOO_LARGE, { pages, limit: MAX_LINT_PAGES }, { at: { file: plan.file, range } });
}
