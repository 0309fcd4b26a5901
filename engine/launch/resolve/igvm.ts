import { hex } from '../../address.js';
import { faultAt, type SourceLocation } from '../../fault.js';
import type { IgvmIdentity } from '../igvm/id-block.js';
import { DEFAULT_ZERO_PAGES } from '../igvm/page-data.js';
import { parseIgvm } from '../igvm/parse.js';
import { processIgvm } from '../igvm/process.js';
import { IGVM_OVERRIDES } from '../igvm/vmm-faults.js';
import type { UpdateTree } from '../manifest/tree.js';
import type { PlanIgvmRegion, PlanUpdate } from '../plan.js';
import { vmsaField } from '../vmsa/build.js';
import { locate, type ResolveContext, readFile, refuse } from './context.js';

type IgvmTree = Extract<UpdateTree, { kind: 'igvm' }>;

export interface ResolvedIgvm {
  readonly path: string;
  readonly at: SourceLocation;
  readonly updates: readonly Omit<PlanUpdate, 'entry'>[];
  readonly regions: readonly PlanIgvmRegion[];
  readonly policy: bigint;
  readonly vmsas: ReadonlyMap<number, Uint8Array>;
  /** SEV_FEATURES of the first VMSA, if there is one. */
  readonly vmsaFeatures?: bigint;
  readonly identity?: IgvmIdentity;
}

/** The file's directives as updates; undefined, with the launch blocked, if it cannot be used. */
export function resolveIgvm(
  context: ResolveContext,
  tree: IgvmTree,
  vm: { readonly vcpus: number; readonly memory: number; readonly policy: bigint | undefined },
  cpuidPage: () => Uint8Array,
): ResolvedIgvm | undefined {
  const { range } = tree.path;
  const file = readFile(context, tree.path.value, range);
  if (!file) return undefined;
  const at = locate(context, range);
  const parsed = parseIgvm(file.bytes, file.path);
  if (!parsed.ok) {
    context.blocked = true;
    context.faults.push(faultAt(parsed.fault, at));
    return undefined;
  }
  const zeroPages = tree.zeroPages?.value === 'zero' ? 'zero' : DEFAULT_ZERO_PAGES;
  const { vcpus, memory } = vm;
  const launch = processIgvm(parsed.value, { vcpus, memory, zeroPages, cpuidPage });
  for (const fault of launch.faults) {
    context.faults.push(faultAt(fault, at));
    if (fault.severity === 'error') context.blocked = true;
  }
  if (vm.policy !== undefined && vm.policy !== launch.policy) {
    const operands = { path: file.path, key: 'policy', file: hex(launch.policy), manifest: hex(vm.policy) };
    refuse(context, IGVM_OVERRIDES, operands, range);
  }
  const [vmsa] = launch.vmsas.values();
  const vmsaFeatures = vmsa && vmsaField(vmsa, 'sev-features');
  const { regions, policy, vmsas, identity } = launch;
  return {
    path: file.path,
    at,
    updates: launch.updates.map((update) => ({ ...update, at })),
    regions,
    policy,
    vmsas,
    ...(vmsaFeatures === undefined ? {} : { vmsaFeatures }),
    ...(identity ? { identity } : {}),
  };
}
