import type { Fault } from '../engine/fault.js';
import type { ParsedManifest } from '../engine/launch/manifest/parse.js';
import { chainOf } from './duplicates.js';
import { keyAt, nodeAt, pairRange, rangeOfNode, type YamlPath } from './yaml-position.js';

/**
 * The dry run knows which entry of the launch failed. Some checks are about one value in it, or about a value that
 * stands elsewhere: these are shown there. First match counts; a prefix ends with a dash.
 */
const PLACES: readonly (readonly [check: string, path: YamlPath])[] = [
  ['kvm-policy-', ['launch', 'policy']],
  ['fw-policy-', ['launch', 'policy']],
  ['vmm-gosvw-length', ['launch', 'gosvw']],
  ['kvm-create-vcpu-limit', ['vm', 'vcpus']],
  ['vmm-vcpu-limit', ['vm', 'vcpus']],
  ['vmm-phys-bits', ['vm', 'memory']],
  ['kvm-slot-size', ['vm', 'memory']],
  ['kvm-init2-vmsa-features', ['vm', 'vmsa-features']],
  ['kvm-no-memory', ['host', 'memory']],
  ['vmm-id-block-length', ['launch', 'finish', 'id-block']],
  ['vmm-id-auth-length', ['launch', 'finish', 'id-auth']],
  ['vmm-host-data-length', ['launch', 'finish', 'host-data']],
  ['fw-launch-finish-id-block-version', ['launch', 'finish', 'id-block']],
  ['fw-launch-finish-launch-digest', ['launch', 'finish', 'id-block']],
  ['fw-launch-finish-policy', ['launch', 'finish', 'id-block']],
  ['fw-launch-finish-author-key-', ['launch', 'finish', 'author-key']],
  ['fw-launch-finish-id-key-signature', ['launch', 'finish', 'author-key']],
  ['fw-launch-finish-author-key-required', ['launch', 'finish', 'id-block']],
  ['fw-launch-finish-', ['launch', 'finish', 'id-auth']],
  ['kvm-id-blob-', ['launch', 'finish', 'id-auth']],
];

export function refinePlace(fault: Fault, parsed: ParsedManifest): Fault {
  const chain = chainOf(fault);
  for (const [check, path] of PLACES) {
    const concerned = chain.some((f) => (check.endsWith('-') ? f.check.startsWith(check) : f.check === check));
    const range = concerned ? rangeAt(parsed, path) : undefined;
    if (range) return { ...fault, at: { file: parsed.file, range } };
  }
  const vmsa = chain.find((f) => f.check === 'vmm-vmsa-features');
  const entry = vmsa && vmsaEntry(parsed, vmsa.operands['vcpu']);
  return entry ? { ...fault, at: { file: parsed.file, range: entry.range } } : fault;
}

/** The entry that gives this vCPU its VMSA: by number, otherwise by its place among the VMSA entries. */
function vmsaEntry(parsed: ParsedManifest, vcpu: unknown) {
  const entries = parsed.tree.launch?.update.filter((entry) => entry.kind === 'vmsa') ?? [];
  return entries.find((entry, index) => (entry.vcpu?.value ?? index) === vcpu);
}

function rangeAt(parsed: ParsedManifest, path: YamlPath): { start: number; end: number } | undefined {
  if (!keyAt(parsed.document, path)) return undefined;
  const value = nodeAt(parsed.document, path);
  return value ? rangeOfNode(value) : pairRange(parsed.document, path);
}
