import { hex, PAGE_SIZE } from '../../engine/address.js';
import { equalBytes, toHex } from '../../engine/bytes.js';
import type { FileRead } from '../../engine/launch/file-source.js';
import { parseNumber } from '../../engine/launch/grammar/number.js';
import type { PlanUpdate } from '../../engine/launch/plan.js';
import { describePolicy } from '../../engine/launch/policy/fields.js';
import { cpuModel } from '../../engine/spec/cpu-models.js';
import { pageTypeName } from '../../engine/spec/page-type.js';
import { SEV_FEATURES } from '../../engine/spec/vmsa-layout.js';
import type { Analysis } from '../analysis.js';
import { DEFAULT_HOST } from '../default-host.js';
import { fileReferences } from '../references.js';
import { policyRefusals } from '../rules/policy-verdict.js';
import type { HostProfiles } from '../rules/rule.js';
import { nodeAt, rangeOfNode, type YamlPath } from '../yaml-position.js';
import { FEATURE_MEANINGS } from './feature-meanings.js';

/** What the value at this path means, as Markdown; undefined where the text says it all. */
export function explainValue(analysis: Analysis, path: YamlPath): string | undefined {
  const where = path.join('.');
  if (analysis.kind === 'policy') return explainPolicyFile(analysis);
  if (where === 'launch.policy' || where.startsWith('launch.policy.')) return explainPolicy(analysis);
  if (where === 'launch.finish.id-block.policy') return numberAt(analysis, path, policyTable);
  if (where === 'vm.vmsa-features') return numberAt(analysis, path, featureTable);
  if (where === 'vm.cpu') return explainCpu(textAt(analysis, path));
  if (where === 'expect.digest') return explainDigest(analysis);
  if (/^launch\.update\.\d+\.gpa$/.test(where)) return explainGpa(analysis, path);
  if (/(^|\.)(memory|length|offset)$/.test(where)) return numberAt(analysis, path, sizeText);
  return explainFile(analysis, path);
}

function explainPolicyFile(analysis: Analysis): string | undefined {
  const value = analysis.policy?.value;
  if (value === undefined) return undefined;
  const { processor, firmware, kvm } = DEFAULT_HOST;
  const platform = `${processor.name}, SNP firmware ${firmware.major}.${firmware.minor}, KVM ${kvm.release}`;
  return [
    policyVerdict(value, DEFAULT_HOST),
    `Judged against ${platform}, the platform of a manifest without \`host:\`. A manifest that names this file judges it against its own \`host:\`.`,
    policyTable(value),
  ].join('\n\n');
}

function explainPolicy(analysis: Analysis): string | undefined {
  const written = analysis.manifest?.tree.launch?.policy?.value;
  const policy = analysis.plan?.start.policy ?? (written && written.kind !== 'file' ? written.value : undefined);
  if (policy === undefined) return undefined;
  const host = analysis.plan?.host ?? DEFAULT_HOST;
  // First what is asked for most: the table may be longer than the hover is high.
  return `${policyVerdict(policy, host)}\n\n${policyTable(policy)}`;
}

function policyVerdict(policy: bigint, host: HostProfiles): string {
  const refusals = policyRefusals(policy, host);
  return refusals.length === 0
    ? `Accepted by KVM ${host.kvm.release} and by firmware ${host.firmware.major}.${host.firmware.minor}.`
    : `Refused: ${refusals.map((fault) => fault.title).join('; ')}.`;
}

function policyTable(policy: bigint): string {
  const rows = describePolicy(policy).map((row) => `| ${row.bits} | ${row.name} | ${row.value} | ${row.meaning} |`);
  return [
    `Guest policy \`${hex(policy)}\``,
    '',
    '| bits | name | value | meaning |',
    '|---|---|---|---|',
    ...rows,
  ].join('\n');
}

function featureTable(features: bigint): string {
  const rows = SEV_FEATURES.filter((feature) => (features >> BigInt(feature.bit)) & 1n).map(
    (feature) => `| ${feature.bit} | ${feature.name} | ${FEATURE_MEANINGS[feature.name] ?? ''} |`,
  );
  const known = SEV_FEATURES.reduce((mask, feature) => mask | (1n << BigInt(feature.bit)), 0n);
  const unknown = features & ~known;
  const lines = [`SEV_FEATURES \`${hex(features)}\`, measured in every VMSA`, ''];
  if (rows.length > 0) lines.push('| bit | name | meaning |', '|---|---|---|', ...rows);
  else lines.push('No feature is set; KVM adds SNPActive.');
  if (unknown !== 0n) lines.push('', `Reserved bits are set: \`${hex(unknown)}\`.`);
  return lines.join('\n');
}

function explainCpu(name: string | undefined): string | undefined {
  const model = name === undefined ? undefined : cpuModel(name);
  if (!model) return undefined;
  return [
    `**${model.name}**: family ${model.family}, model ${model.model}, stepping ${model.stepping}; CPUID signature \`${hex(model.signature)}\`.`,
    'Under QEMU the signature of this model, not that of the physical processor, stands in RDX of each initial VMSA and is part of the launch digest. EC2 and GCE put 0x600 there.',
  ].join('\n\n');
}

function explainDigest(analysis: Analysis): string | undefined {
  const expected = analysis.manifest?.tree.expect.digest;
  const { digest } = analysis;
  if (!expected || !digest) return undefined;
  return equalBytes(expected.value, digest)
    ? 'This is the digest of this launch.'
    : `The digest of this launch is\n\n\`${toHex(digest)}\``;
}

function explainGpa(analysis: Analysis, path: YamlPath): string | undefined {
  const index = path[2];
  const { plan } = analysis;
  return numberAt(analysis, path, (value) => {
    const lines = [`Guest physical address \`${hex(value)}\`, frame \`${hex(value / 0x1000n)}\`, ${inUnits(value)}.`];
    const updates = plan?.updates.filter((update) => plan.entries[update.entry]?.updateIndex === index) ?? [];
    for (const update of updates) lines.push(`- ${describeUpdate(update)}`);
    return lines.join('\n');
  });
}

function describeUpdate(update: PlanUpdate): string {
  const pages = Math.ceil(update.length / PAGE_SIZE);
  const end = hex(update.gpa + Math.max(0, update.length - 1));
  return `${pages} page${pages === 1 ? '' : 's'} ${pageTypeName(update.type)}, \`${hex(update.gpa)}\` to \`${end}\`: ${update.label}`;
}

function explainFile(analysis: Analysis, path: YamlPath): string | undefined {
  const { manifest, context } = analysis;
  const node = manifest && nodeAt(manifest.document, path);
  if (!manifest || !context || !node) return undefined;
  const range = rangeOfNode(node);
  if (/^launch\.update\.\d+\.firmware$/.test(path.join('.'))) return explainFirmware(analysis);
  const reference = fileReferences(manifest.tree).find((r) => r.range.start === range.start);
  return reference && fileText(context.files.read(reference.path, analysis.path));
}

function explainFirmware(analysis: Analysis): string | undefined {
  const firmware = analysis.plan?.firmware;
  if (!firmware) return undefined;
  const lines = [
    `\`${firmware.path}\`, ${firmware.bytes.length} bytes at \`${hex(firmware.base)}\` to \`0xffffffff\`.`,
  ];
  if (firmware.resetEip !== undefined) lines.push(`APs start at \`${hex(firmware.resetEip)}\` (SEV-ES reset block).`);
  const sections = analysis.plan?.updates.filter((update) => update.label.includes(':')) ?? [];
  for (const update of sections) lines.push(`- ${describeUpdate(update)}`);
  return lines.join('\n');
}

function fileText(result: FileRead): string {
  if (!result.ok) return `\`${result.path}\`: ${result.detail}`;
  return `\`${result.file.path}\`, ${result.file.bytes.length} bytes (${hex(result.file.bytes.length)}).`;
}

function textAt(analysis: Analysis, path: YamlPath): string | undefined {
  const node = analysis.manifest && nodeAt(analysis.manifest.document, path);
  if (!node) return undefined;
  const range = rangeOfNode(node);
  return analysis.text.slice(range.start, range.end).replace(/^["']|["']$/g, '');
}

function numberAt(analysis: Analysis, path: YamlPath, explain: (value: bigint) => string): string | undefined {
  const text = textAt(analysis, path);
  const number = text === undefined ? undefined : parseNumber(text, true);
  return number?.ok && number.value >= 0n ? explain(number.value) : undefined;
}

function sizeText(value: bigint): string {
  return `${value} bytes, \`${hex(value)}\`, ${inUnits(value)}; ${value / 0x1000n} pages${value % 0x1000n === 0n ? '' : ' and a part of one'}.`;
}

function inUnits(value: bigint): string {
  for (const [unit, shift] of [['GiB', 30n] as const, ['MiB', 20n] as const, ['KiB', 10n] as const]) {
    if (value >= 1n << shift) return `${Number((value * 100n) >> shift) / 100} ${unit}`;
  }
  return `${value} B`;
}
