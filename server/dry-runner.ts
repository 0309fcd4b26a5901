import { equalBytes } from '../engine/bytes.js';
import type { Crypto } from '../engine/crypto.js';
import type { Fault, SourceLocation } from '../engine/fault.js';
import type { LaunchPlan, PlanFinish, PlanUpdate } from '../engine/launch/plan.js';
import { dryRun } from '../engine/vmm/launch.js';

/** How a launch ends. */
export interface DryRunResult {
  /** 48 bytes; only a complete launch has one. */
  readonly digest?: Uint8Array;
  readonly fault?: Fault;
}

/**
 * Runs launches one after another, for instance while somebody types: most edits change a comment, a place or an
 * expectation and not the launch, and then the last result holds with its places moved.
 */
export interface DryRunner {
  run(plan: LaunchPlan): DryRunResult;
}

export function createDryRunner(crypto: Crypto): DryRunner {
  let last: { readonly plan: LaunchPlan; readonly result: DryRunResult } | undefined;
  return {
    run(plan) {
      const known = last && sameLaunch(last.plan, plan) ? moved(last.result, last.plan, plan) : undefined;
      const { digest, fault } = known ?? dryRun(plan, { crypto });
      const result = { ...(digest ? { digest } : {}), ...(fault ? { fault } : {}) };
      last = { plan, result };
      return result;
    },
  };
}

/** The same result for a plan that differs in places only; undefined if the fault's place cannot be found again. */
function moved(result: DryRunResult, before: LaunchPlan, after: LaunchPlan): DryRunResult | undefined {
  const { fault } = result;
  if (!fault) return result;
  const at = sameItem(before.updates, after.updates, fault.at) ?? sameItem(before.entries, after.entries, fault.at);
  return at && { ...result, fault: { ...fault, at } };
}

function sameItem<T extends { readonly at: SourceLocation }>(
  before: readonly T[],
  after: readonly T[],
  at: SourceLocation | undefined,
): SourceLocation | undefined {
  const index = before.findIndex((item) => item.at === at);
  return index < 0 ? undefined : after[index]?.at;
}

/** Whether two plans launch the same thing on the same host. */
function sameLaunch(a: LaunchPlan, b: LaunchPlan): boolean {
  return (
    a.host.processor === b.host.processor &&
    a.host.kvm === b.host.kvm &&
    a.host.firmware.major === b.host.firmware.major &&
    a.host.firmware.minor === b.host.firmware.minor &&
    a.host.memory === b.host.memory &&
    a.vm.vmm === b.vm.vmm &&
    a.vm.vcpus === b.vm.vcpus &&
    a.vm.cpu === b.vm.cpu &&
    a.vm.memory === b.vm.memory &&
    a.vm.vmsaFeatures === b.vm.vmsaFeatures &&
    a.start.policy === b.start.policy &&
    sameBytes(a.start.gosvw, b.start.gosvw) &&
    a.firmware?.path === b.firmware?.path &&
    a.firmware?.bytes === b.firmware?.bytes &&
    sameFinish(a.finish, b.finish) &&
    sameList(a.entries, b.entries, (x, y) => x.kind === y.kind && x.updateIndex === y.updateIndex) &&
    sameList(a.updates, b.updates, sameUpdate) &&
    sameList(a.vmsas, b.vmsas, sameBytes)
  );
}

function sameUpdate(a: PlanUpdate, b: PlanUpdate): boolean {
  return (
    a.entry === b.entry &&
    a.type === b.type &&
    a.gpa === b.gpa &&
    a.length === b.length &&
    a.label === b.label &&
    a.source?.path === b.source?.path &&
    sameBytes(a.source?.bytes, b.source?.bytes)
  );
}

function sameFinish(a: PlanFinish, b: PlanFinish): boolean {
  return (
    a.authorKey === b.authorKey &&
    a.vcekDisabled === b.vcekDisabled &&
    sameBytes(a.idBlock, b.idBlock) &&
    sameBytes(a.idAuth, b.idAuth) &&
    sameBytes(a.hostData, b.hostData)
  );
}

function sameList<T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean): boolean {
  return a.length === b.length && a.every((x, i) => same(x, b[i] as T));
}

/** Files are the same object while they have not changed; only small buffers are compared by content. */
function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === b) return true;
  return a !== undefined && b !== undefined && a.length <= 4096 && equalBytes(a, b);
}
