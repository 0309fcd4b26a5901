/**
 * A hand-written launch without a secrets page or without a CPUID page. A firmware image brings both in its SEV
 * metadata, an IGVM file lists them; a launch made of page entries alone has only what it names. The launch
 * itself succeeds, but a guest without secrets page has no keys to talk to the firmware, and one without CPUID
 * page has to believe whatever the host answers.
 */
import { hex, PAGE_SIZE } from '../../engine/address.js';
import { defineFault, type Fault, makeFault } from '../../engine/fault.js';
import { pageEntries } from './page-entries.js';
import type { Fix, FixContext, ManifestContext, Rule } from './rule.js';

export const NO_SECRETS_PAGE = defineFault({
  check: 'lint-no-secrets-page',
  layer: 'manifest',
  command: 'launch.update',
  code: { kind: 'input' },
  severity: 'information',
  title: 'No secrets page',
  message: () => 'No entry of this launch loads a secrets page, so the guest gets no VM platform communication keys.',
  why: 'The firmware writes VMPCK0 to VMPCK3 into the secrets page and nowhere else. Without them the guest can send no guest request: no attestation report, no derived key.',
  hint: 'Add an entry `{ gpa: …, type: secrets }` where the guest looks for it, if the guest is to attest.',
  reference: 'AMD pub. 56860, secrets page; SNP_GUEST_REQUEST',
  confirmed: true,
});

export const NO_CPUID_PAGE = defineFault({
  check: 'lint-no-cpuid-page',
  layer: 'manifest',
  command: 'launch.update',
  code: { kind: 'input' },
  severity: 'information',
  title: 'No CPUID page',
  message: () =>
    'No entry of this launch loads a CPUID page, so the guest cannot check what the host answers to CPUID.',
  why: 'The firmware checks the leaves of the CPUID page against the processor before the guest sees them. Linux and OVMF require the page; a guest without it can only ask the host.',
  hint: 'Add an entry `{ gpa: …, type: cpuid }` where the guest looks for it.',
  reference: 'AMD pub. 56860, CPUID page',
  confirmed: true,
});

export const missingPages: Rule = { name: 'missing-pages', manifest: check, fixes };

function check({ path, parsed, plan }: ManifestContext): readonly Fault[] {
  const { launch } = parsed.tree;
  const pages = pageEntries(parsed.tree);
  if (!plan || !launch?.updateKey || pages.length === 0) return [];
  if (launch.update.some((update) => update.kind === 'firmware' || update.kind === 'igvm')) return [];
  const has = (type: string): boolean => pages.some((entry) => entry.type.value === type);
  const at = { file: path, range: launch.updateKey };
  const faults: Fault[] = [];
  if (!has('secrets')) faults.push(makeFault(NO_SECRETS_PAGE, {}, { at }));
  if (!has('cpuid')) faults.push(makeFault(NO_CPUID_PAGE, {}, { at }));
  return faults;
}

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  const type = typeOf(fault.check);
  if (!type || context.kind !== 'manifest' || !context.plan) return [];
  const last = context.parsed.tree.launch?.update.at(-1);
  if (!last) return [];
  const lineStart = context.text.lastIndexOf('\n', last.range.start - 1) + 1;
  const lead = context.text.slice(lineStart, last.range.start);
  // Only block lists: `- ` before the entry. In JSON and flow lists the user knows better where it belongs.
  if (!/^\s*-\s+$/.test(lead)) return [];
  const { updates, vm } = context.plan;
  const end = updates
    .filter((update) => update.gpa + update.length <= vm.memory)
    .reduce((highest, update) => Math.max(highest, update.gpa + update.length), 0);
  const gpa = Math.ceil(end / PAGE_SIZE) * PAGE_SIZE;
  if (gpa + PAGE_SIZE > vm.memory) return [];
  const tail = context.text.slice(0, last.range.end).trimEnd().length;
  const newText = `\n${lead}{ gpa: ${hex(gpa)}, type: ${type} }`;
  return [
    {
      title: `Add a ${type === 'cpuid' ? 'CPUID' : type} page at ${hex(gpa)}`,
      changes: [{ file: context.path, range: { start: tail, end: tail }, newText }],
    },
  ];
}

function typeOf(check: string): 'secrets' | 'cpuid' | undefined {
  if (check === NO_SECRETS_PAGE.check) return 'secrets';
  return check === NO_CPUID_PAGE.check ? 'cpuid' : undefined;
}
