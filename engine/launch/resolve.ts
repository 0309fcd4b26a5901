import { gpa, hex, PAGE_SIZE } from '../address.js';
import { type Crypto, portableCrypto } from '../crypto.js';
import { defineFault, type Fault, type TextRange } from '../fault.js';
import { ATTACK_NAMES } from '../spec/attacks.js';
import { cpuModel } from '../spec/cpu-models.js';
import {
  FIRMWARE_ABI_MAX,
  firmwareProfile,
  KVM_PROFILES,
  KVM_RELEASES,
  PROCESSOR_PROFILES,
  PROCESSORS,
} from '../spec/versions.js';
import { SNP_ACTIVE } from '../spec/vmsa-layout.js';
import { isNewerThan, modelCpuidPage } from './cpuid/model-page.js';
import type { FileSource } from './file-source.js';
import { IGVM_TWICE, IGVM_WITH_FIRMWARE } from './igvm/vmm-faults.js';
import type { ParsedManifest } from './manifest/parse.js';
import type { ManifestTree, UpdateTree } from './manifest/tree.js';
import { type LaunchEntry, type LaunchPlan, type PlanFirmware, type PlanUpdate, VMM_NAMES } from './plan.js';
import { locate, type ResolveContext, refuse } from './resolve/context.js';
import { entriesOf } from './resolve/entries.js';
import * as faults from './resolve/faults.js';
import { resolveFinish } from './resolve/finish.js';
import { resolveFirmware } from './resolve/firmware.js';
import { type ResolvedIgvm, resolveIgvm } from './resolve/igvm.js';
import { resolvePages } from './resolve/pages.js';
import { resolvePolicy } from './resolve/policy.js';
import { resolveVmsas } from './resolve/vmsas.js';

export const VMM_CPU_NEWER = defineFault<{ model: string; processor: string }>({
  check: 'vmm-cpu-newer-than-host',
  layer: 'vmm',
  command: '-cpu',
  code: { kind: 'input' },
  severity: 'warning',
  title: 'CPU model is newer than the processor',
  message: (o) =>
    `The CPU model ${o.model} has features that the host’s processor (${o.processor}) lacks; they are left out of the CPUID page.`,
  why: 'QEMU drops what the host does not support, with a warning. The launch digest does not change, because it holds only the model’s signature; but the guest sees a mixture.',
  hint: 'Choose a model of the host’s generation or an older one.',
  reference: 'QEMU target/i386/cpu.c x86_cpu_filter_features',
  confirmed: true,
});

export const DEFAULTS = {
  processor: 'milan',
  firmwareMinor: 55,
  kvm: '6.11',
  hostMemory: 4 * 2 ** 30,
  attackPage: 0xa0_0000,
  vmm: 'qemu',
  vcpus: 1,
  cpu: 'EPYC-Milan-v2',
  memory: 512 * 2 ** 20,
} as const;

/** Problems of the grammar that leave no doubt about what is to be launched. */
const HARMLESS = new Set([
  'manifest-unknown-key',
  'manifest-duplicate-key',
  'manifest-missing-version',
  'manifest-key-not-for-type',
]);

export interface Resolved {
  /** Present whenever the launch can be attempted, even if something in it is wrong. */
  readonly plan?: LaunchPlan;
  /** What resolving found; the problems of the grammar are in ParsedManifest.problems. */
  readonly faults: readonly Fault[];
}

/** Reads the files that a manifest names and fills in every default. Never throws for any input. */
export function resolvePlan(parsed: ParsedManifest, files: FileSource, crypto: Crypto = portableCrypto): Resolved {
  const { tree } = parsed;
  const context: ResolveContext = { file: parsed.file, files, crypto, faults: [], blocked: false };
  context.blocked = parsed.problems.some((problem) => isBlocking(problem, tree));
  const { launch } = tree;
  if (!launch) return { faults: context.faults };

  const host = hostOf(tree);
  const vm = vmOf(context, tree, host.processor);
  const policy = resolvePolicy(context, launch.policy);
  const cpuidPage = (): Uint8Array => modelCpuidPage(vm.cpu, host.processor, vm.vcpus);

  let firmware: PlanFirmware | undefined;
  let igvm: (ResolvedIgvm & { readonly entry: number }) | undefined;
  const entries: LaunchEntry[] = [...entriesOf(parsed, launch.update)];
  const entryOf = new Map(entries.map((entry, position) => [entry.updateIndex, position]));
  const updates: PlanUpdate[] = [];
  for (const item of launch.update) {
    const entry = entryOf.get(item.index) ?? -1;
    const resolved = updatesOf(item, entry);
    updates.push(...resolved.map((update) => ({ ...update, entry })));
  }
  const igvmTree = launch.update.find((item) => item.kind === 'igvm');
  if (igvmTree && launch.update.some((item) => item.kind === 'firmware')) {
    refuse(context, IGVM_WITH_FIRMWARE, { path: igvmTree.path.value }, igvmTree.path.range);
    context.blocked = true;
  }
  if (updates.length === 0 && !context.blocked)
    refuse(context, faults.MANIFEST_EMPTY_UPDATE, {}, launch.updateKey ?? launch.key);

  // QEMU takes the features of the VM from the VMSA in an IGVM file.
  const vmsaFeatures = tree.vm.vmsaFeatures ? vm.vmsaFeatures : (igvm?.vmsaFeatures ?? vm.vmsaFeatures);
  const vmsas = resolveVmsas(
    context,
    launch.update.filter((u) => u.kind === 'vmsa'),
    { vmm: vm.vmm, vcpus: vm.vcpus, signature: cpuModel(vm.cpu)?.signature ?? 0, features: vmsaFeatures },
    firmware?.resetEip,
    igvm?.vmsas,
  );
  const expected = tree.expect.digest;
  const unfinished = {
    file: parsed.file,
    host,
    vm: { ...vm, vmsaFeatures },
    entries,
    updates,
    start: { policy: igvm?.policy ?? policy, gosvw: launch.gosvw?.value ?? new Uint8Array(16) },
    vmsas,
    ...(firmware ? { firmware } : {}),
    ...(igvm ? { igvm: { path: igvm.path, entry: igvm.entry, at: igvm.at, regions: igvm.regions } } : {}),
    expect: expected ? { digest: expected.value, at: locate(context, expected.range) } : {},
  };
  const finish = resolveFinish(context, launch.finish, unfinished, igvm?.identity);
  return { ...(context.blocked ? {} : { plan: { ...unfinished, finish } }), faults: context.faults };

  function updatesOf(item: UpdateTree, entry: number): readonly Omit<PlanUpdate, 'entry'>[] {
    switch (item.kind) {
      case 'firmware': {
        const resolved = resolveFirmware(context, item, vm, cpuidPage);
        firmware ??= resolved?.firmware;
        return resolved?.updates ?? [];
      }
      case 'pages': {
        const update = resolvePages(context, item, cpuidPage);
        return update ? [update] : [];
      }
      case 'vmsa':
        return [];
      case 'igvm':
        if (igvm) {
          refuse(context, IGVM_TWICE, { path: item.path.value }, item.path.range);
          context.blocked = true;
          return [];
        }
        igvm = withEntry(resolveIgvm(context, item, { ...vm, policy: launch?.policy && policy }, cpuidPage), entry);
        return igvm?.updates ?? [];
    }
  }
}

function withEntry<T extends object>(
  value: T | undefined,
  entry: number,
): (T & { readonly entry: number }) | undefined {
  return value && { ...value, entry };
}

function isBlocking(problem: Fault, tree: ManifestTree): boolean {
  if (problem.severity !== 'error' || HARMLESS.has(problem.check)) return false;
  const at = problem.at?.range;
  return !(at && inside(at, tree.expect.range)) && !(at && inside(at, tree.expect.key));
}

function inside(inner: TextRange, outer: TextRange | undefined): boolean {
  return outer !== undefined && inner.start >= outer.start && inner.end <= outer.end;
}

function hostOf({ host }: ManifestTree): LaunchPlan['host'] {
  const processor = PROCESSORS.find((p) => p === host.processor?.value) ?? DEFAULTS.processor;
  const kvm = KVM_RELEASES.find((k) => k === host.kvm?.value) ?? DEFAULTS.kvm;
  const attack = ATTACK_NAMES.find((name) => name === host.attack?.value);
  const page = host.attackPage?.value ?? DEFAULTS.attackPage;
  const minor = Number(host.firmware?.value.split('.')[1] ?? DEFAULTS.firmwareMinor);
  return {
    processor: PROCESSOR_PROFILES[processor],
    firmware: firmwareProfile(Math.min(minor, FIRMWARE_ABI_MAX)),
    kvm: KVM_PROFILES[kvm],
    memory: host.memory?.value ?? DEFAULTS.hostMemory,
    ...(host.sevSnp ? { sevSnp: host.sevSnp.value } : {}),
    ...(host.hugePages ? { hugePages: host.hugePages.value } : {}),
    ...(attack ? { attack: { name: attack, page: gpa(page - (page % PAGE_SIZE)) } } : {}),
  };
}

function vmOf(
  context: ResolveContext,
  { vm }: ManifestTree,
  processor: LaunchPlan['host']['processor'],
): LaunchPlan['vm'] {
  const given = vm.vmsaFeatures;
  const features = (given?.value ?? SNP_ACTIVE) | SNP_ACTIVE;
  if (given && given.value !== features) {
    const operands = { given: hex(given.value), measured: hex(features) };
    refuse(context, faults.MANIFEST_SNP_ACTIVE, operands, given.range);
  }
  const cpu = vm.cpu?.value ?? DEFAULTS.cpu;
  const model = cpuModel(cpu);
  if (model && vm.cpu && isNewerThan(model, processor))
    refuse(context, VMM_CPU_NEWER, { model: cpu, processor: processor.name }, vm.cpu.range);
  return {
    vmm: VMM_NAMES.find((name) => name === vm.vmm?.value) ?? DEFAULTS.vmm,
    vcpus: vm.vcpus?.value ?? DEFAULTS.vcpus,
    cpu,
    memory: vm.memory?.value ?? DEFAULTS.memory,
    vmsaFeatures: features,
  };
}
