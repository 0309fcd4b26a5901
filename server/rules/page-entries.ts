import type { SourceLocation } from '../../engine/fault.js';
import type { ManifestTree, UpdateTree } from '../../engine/launch/manifest/tree.js';
import type { PlanUpdate } from '../../engine/launch/plan.js';
import type { ManifestContext } from './rule.js';

export type PagesEntry = Extract<UpdateTree, { kind: 'pages' }> & { readonly index: number };
export type FirmwareEntry = Extract<UpdateTree, { kind: 'firmware' }> & { readonly index: number };

/** The entries of launch.update that name their pages themselves, with their index in the list. */
export function pageEntries(tree: ManifestTree): readonly PagesEntry[] {
  const updates = tree.launch?.update ?? [];
  return updates.flatMap((update, index) => (update.kind === 'pages' ? [{ ...update, index }] : []));
}

export function firmwareEntries(tree: ManifestTree): readonly FirmwareEntry[] {
  const updates = tree.launch?.update ?? [];
  return updates.flatMap((update, index) => (update.kind === 'firmware' ? [{ ...update, index }] : []));
}

/** Where the address of an update stands in the manifest; the entry itself if it has none of its own. */
export function placeOfUpdate({ path, parsed, plan }: ManifestContext, update: PlanUpdate): SourceLocation {
  const index = plan?.entries[update.entry]?.updateIndex;
  const entry = index === undefined ? undefined : parsed.tree.launch?.update[index];
  return entry?.kind === 'pages' && entry.gpa ? { file: path, range: entry.gpa.range } : update.at;
}
