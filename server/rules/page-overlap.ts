/**
 * Two entries of the launch put pages at the same guest address, a firmware image and its SEV metadata included.
 * A page can be given to the guest once: the second LAUNCH_UPDATE of the same frame finds it assigned in the RMP
 * and fails, and no order of the entries helps.
 */
import { hex } from '../../engine/address.js';
import { defineFault, type Fault, makeFault } from '../../engine/fault.js';
import type { PlanUpdate } from '../../engine/launch/plan.js';
import { placeOfUpdate } from './page-entries.js';
import type { ManifestContext, Rule } from './rule.js';

export const PAGE_OVERLAP = defineFault<{ first: string; second: string; start: string; end: string }>({
  check: 'lint-page-overlap',
  layer: 'manifest',
  command: 'launch.update',
  code: { kind: 'input' },
  title: 'Two entries load the same page',
  message: (o) => `${o.second} and ${o.first} overlap from ${o.start} to ${o.end}.`,
  why: "LAUNCH_UPDATE takes a page that belongs to the host and makes it the guest's. A frame that an earlier entry has loaded is assigned already, so KVM refuses it with -EEXIST or -EINVAL, which the ioctl reports as -EIO.",
  hint: 'Move or shorten one of the two entries so that each page is loaded once.',
  reference: 'Linux arch/x86/kvm/svm/sev.c, sev_gmem_post_populate; virt/kvm/guest_memfd.c, kvm_gmem_populate',
  confirmed: true,
});

export const pageOverlap: Rule = {
  name: 'page-overlap',
  manifest: check,
  covers: [
    { check: PAGE_OVERLAP.check, engine: 'kvm-populate-exists' },
    { check: PAGE_OVERLAP.check, engine: 'kvm-page-assigned' },
  ],
};

function check(context: ManifestContext): readonly Fault[] {
  const { plan } = context;
  if (!plan) return [];
  const order = new Map(plan.updates.map((update, index) => [update, index]));
  const sorted = plan.updates.filter((update) => update.length > 0).sort((a, b) => a.gpa - b.gpa);
  const faults: Fault[] = [];
  let widest: PlanUpdate | undefined;
  for (const update of sorted) {
    if (widest && update.gpa < widest.gpa + widest.length && !bothImages(context, widest, update)) {
      faults.push(overlap(context, widest, update, order));
    }
    if (!widest || update.gpa + update.length > widest.gpa + widest.length) widest = update;
  }
  return faults;
}

/** Two firmware images overlap always; the rule about them says more. */
function bothImages({ parsed, plan }: ManifestContext, a: PlanUpdate, b: PlanUpdate): boolean {
  const entry = (update: PlanUpdate): number | undefined => plan?.entries[update.entry]?.updateIndex;
  const image = (update: PlanUpdate): boolean =>
    parsed.tree.launch?.update.some((tree) => tree.kind === 'firmware' && tree.index === entry(update)) ?? false;
  return a.entry !== b.entry && image(a) && image(b);
}

/** Shown at the entry that comes second in the launch, because there it fails. */
function overlap(
  context: ManifestContext,
  a: PlanUpdate,
  b: PlanUpdate,
  order: ReadonlyMap<PlanUpdate, number>,
): Fault {
  const aFirst = (order.get(a) ?? 0) <= (order.get(b) ?? 0);
  const [first, second] = aFirst ? [a, b] : [b, a];
  const start = Math.max(a.gpa, b.gpa);
  const end = Math.min(a.gpa + a.length, b.gpa + b.length);
  const operands = { first: nameOf(first), second: nameOf(second), start: hex(start), end: hex(end - 1) };
  return makeFault(PAGE_OVERLAP, operands, { at: placeOfUpdate(context, second) });
}

function nameOf(update: PlanUpdate): string {
  return `${update.label} (${hex(update.gpa)} to ${hex(update.gpa + update.length - 1)})`;
}
