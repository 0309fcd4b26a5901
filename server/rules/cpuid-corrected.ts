/**
 * Leaves of the CPUID page that the firmware would not accept. On a mismatch it writes the values that it would
 * take into the page and answers INVALID_PARAM, so that hardware tells one attempt later what this rule tells
 * while typing: each leaf and register, the value that is given and the value that passes.
 */
import { hex } from '../../engine/address.js';
import { checkCpuidPage } from '../../engine/asp/cpuid-policy.js';
import { defineFault, type Fault, makeFault, type SourceLocation } from '../../engine/fault.js';
import type { PlanUpdate } from '../../engine/launch/plan.js';
import { PAGE_TYPE } from '../../engine/spec/page-type.js';
import { nodeAt, rangeOfNode } from '../yaml-position.js';
import type { Fix, FixContext, ManifestContext, Rule } from './rule.js';

export const CPUID_CORRECTED = defineFault<{
  leaf: string;
  subleaf: number;
  register: string;
  provided: string;
  accepted: string;
  rule: string;
  processor: string;
}>({
  check: 'lint-cpuid-corrected',
  layer: 'manifest',
  command: 'cpuid page',
  code: { kind: 'input' },
  title: 'CPUID value that the firmware corrects',
  message: (o) =>
    `CPUID leaf ${o.leaf} index ${o.subleaf}: ${o.register} is ${o.provided}, but the firmware of ${o.processor} accepts ${o.accepted}: ${o.rule}.`,
  why: 'The firmware lets a guest see only what the processor can keep: feature bits may be dropped but not added, and sizes and address widths must be the real ones. SNP_LAUNCH_UPDATE of the page answers INVALID_PARAM, KVM copies the corrected page back, and QEMU stops there.',
  hint: (o) => `Set ${o.register} of leaf ${o.leaf} index ${o.subleaf} to ${o.accepted}.`,
  reference: 'AMD pub. 55898, CPUID policy enforcement; which leaf has which rule is model specific',
  confirmed: false,
});

const PAGE = 4096;

export const cpuidCorrected: Rule = {
  name: 'cpuid-corrected',
  manifest: check,
  covers: [{ check: CPUID_CORRECTED.check, engine: 'fw-launch-update-cpuid-policy' }],
  fixes,
};

function check(context: ManifestContext): readonly Fault[] {
  return (context.plan?.updates ?? []).flatMap((update) =>
    update.type === PAGE_TYPE.CPUID && update.source?.bytes.length === PAGE
      ? compare(context, update, update.source.bytes)
      : [],
  );
}

function compare(context: ManifestContext, update: PlanUpdate, page: Uint8Array): readonly Fault[] {
  const { plan } = context;
  if (!plan) return [];
  const { processor } = plan.host;
  return checkCpuidPage(page, processor).mismatches.map((mismatch) => {
    const operands = {
      leaf: hex(mismatch.function),
      subleaf: mismatch.index,
      register: mismatch.register,
      provided: hex(mismatch.provided),
      accepted: hex(mismatch.expected),
      rule: mismatch.rule,
      processor: processor.name,
    };
    const at = placeOf(context, update, mismatch.entry, mismatch.register);
    return makeFault(CPUID_CORRECTED, operands, { at });
  });
}

/** The register's value in the manifest, or the entry that makes the page. */
function placeOf(context: ManifestContext, update: PlanUpdate, leaf: number, register: string): SourceLocation {
  const index = context.plan?.entries[update.entry]?.updateIndex;
  if (index === undefined) return update.at;
  const path = ['launch', 'update', index, 'leaves', leaf];
  const node = nodeAt(context.parsed.document, [...path, register]) ?? nodeAt(context.parsed.document, path);
  return node ? { file: context.path, range: rangeOfNode(node) } : update.at;
}

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  if (fault.check !== CPUID_CORRECTED.check || !fault.at) return [];
  const { range } = fault.at;
  const accepted = String(fault.operands['accepted']);
  // Only where the value itself stands: a page from a file, or a register that is not written, has no text.
  if (!/^["']?(0x[0-9a-f]+|\d+)["']?$/i.test(context.text.slice(range.start, range.end))) return [];
  return [
    {
      title: `Set ${String(fault.operands['register'])} to ${accepted}, which the firmware accepts`,
      preferred: true,
      changes: [{ file: context.path, range, newText: accepted }],
    },
  ];
}
