import { PAGE_SIZE, spaOf } from '../address.js';
import { copyBytes } from '../bytes.js';
import { defineFault, type Fault, faultAt, makeFault } from '../fault.js';
import { hostBoot } from '../kvm/host-boot.js';
import type { LaunchEntry, LaunchPlan } from '../launch/plan.js';
import type { Machine } from '../machine.js';
import { inFrame, type Op } from '../timeline/event.js';
import type { GuestExit, LaunchOutcome } from '../timeline/run.js';
import { boardInit } from './board-init.js';
import { createVmm, describeStep, type Vmm, type VmmStep } from './context.js';
import { checkObjectProperties } from './object-properties.js';
import { runGuest } from './run-vm.js';
import { kvmInit, sevCommonKvmInit } from './sev-common-kvm-init.js';
import { checkMetadata, sevSnpLaunchFinish } from './sev-snp-launch-finish.js';
import { sevSnpLaunchStart } from './sev-snp-launch-start.js';
import { sevSnpLaunchUpdate } from './sev-snp-launch-update.js';

/** Every page keeps its content, its RMP entry and its place in the digest chain: about 1 KiB each. */
const MAX_PAGES = 1 << 20;

export const LAUNCH_TOO_LARGE = defineFault<{ pages: number; limit: number }>({
  check: 'vmm-launch-too-large',
  layer: 'vmm',
  command: 'launch.update',
  code: { kind: 'input' },
  title: 'Launch too large to emulate',
  message: (o) => `The launch loads ${o.pages} pages; up to ${o.limit} pages (4 GiB) are emulated here.`,
  why: 'Each page is one firmware command, which takes real firmware a fraction of a millisecond. Memory that need not be measured is validated by the guest later and does not belong in the launch.',
  hint: 'Check `length`; load only what the guest needs to start.',
  reference: 'SEV-SNP Workbench, launch',
  confirmed: true,
});

/** The first update with which the launch is larger than the machine in memory can be. */
function tooLarge(plan: LaunchPlan): Fault | undefined {
  const pages = plan.updates.reduce((sum, { length }) => sum + Math.ceil(length / PAGE_SIZE), 0);
  if (pages <= MAX_PAGES) return undefined;
  let sum = 0;
  for (const { length, at } of plan.updates) {
    sum += Math.ceil(length / PAGE_SIZE);
    if (sum > MAX_PAGES) return makeFault(LAUNCH_TOO_LARGE, { pages, limit: MAX_PAGES }, { at });
  }
  return undefined;
}

/**
 * The launch as QEMU performs it, from the boot of the host to LAUNCH_FINISH: a frame for each entry of the plan.
 * It stops at the first fault, as QEMU exits. `andRun`: the guest runs then, in a frame without an entry. Order: QEMU accel/kvm/kvm-all.c, target/i386/sev.c, hw/i386/.
 */
export function* launchFlow(plan: LaunchPlan, machine: Machine, andRun = false): Op<LaunchOutcome> {
  const refused = tooLarge(plan);
  if (refused) return { fault: refused };
  const vmm = createVmm(plan, machine);
  let queued = 0;
  for (let index = 0; index < plan.entries.length; index++) {
    const entry = plan.entries[index];
    if (!entry) continue;
    if (entry.kind === 'update') {
      // Metadata are looked for once, before the first page is launched.
      const first = plan.entries.findIndex((e) => e.kind === 'update') === index;
      const end = endOfRun(plan, queued, index);
      const fault = yield* inEntry(vmm, index, entry, () => updateEntry(vmm, first, queued, end));
      if (fault) return { fault };
      queued = end;
      continue;
    }
    if (entry.kind === 'finish') {
      const fault = yield* remainingUpdates(vmm, queued);
      if (fault) return { fault };
    }
    const { kind } = entry;
    const fault = yield* inEntry(vmm, index, entry, () => stepOf(vmm, kind));
    if (fault) return { fault };
  }
  const digest = launchDigest(vmm);
  if (!andRun) return { digest };
  return { digest, exit: yield* inFrame(machine.stack, 'launch', 'guest', {}, () => runGuest(vmm), describeExit) };
}

function describeExit(exit: GuestExit): { result: string; fault?: Fault } {
  const fault = 'fault' in exit ? exit.fault : undefined;
  return fault ? { result: exit.reason, fault } : { result: exit.reason };
}

/** Updates of one entry follow each other, unless the VMM has another order (EC2 measures CPUID pages last). */
function endOfRun(plan: LaunchPlan, start: number, entry: number): number {
  let end = start;
  while (plan.updates[end]?.entry === entry) end++;
  return end;
}

function* remainingUpdates(vmm: Vmm, start: number): VmmStep {
  const { plan } = vmm;
  let queued = start;
  for (;;) {
    const index = plan.updates[queued]?.entry;
    const entry = index === undefined ? undefined : plan.entries[index];
    if (index === undefined || !entry) return undefined;
    const end = endOfRun(plan, queued, index);
    const from = queued;
    const fault = yield* inEntry(vmm, index, entry, () => updateEntry(vmm, false, from, end));
    if (fault) return fault;
    queued = end;
  }
}

function inEntry(vmm: Vmm, index: number, entry: LaunchEntry, body: () => VmmStep): VmmStep {
  return inFrame(
    vmm.machine.stack,
    'launch',
    entry.label,
    { entry: index },
    function* () {
      const fault = yield* body();
      return fault && faultAt(fault, entry.at);
    },
    describeStep,
  );
}

function* updateEntry(vmm: Vmm, first: boolean, start: number, end: number): VmmStep {
  if (first) {
    const fault = yield* checkMetadata(vmm);
    if (fault) return fault;
  }
  for (let i = start; i < end; i++) {
    const update = vmm.plan.updates[i];
    const fault = update && (yield* sevSnpLaunchUpdate(vmm, update));
    if (fault) return fault;
  }
  return undefined;
}

function stepOf(vmm: Vmm, kind: Exclude<LaunchEntry['kind'], 'update'>): VmmStep {
  switch (kind) {
    case 'host':
      return bootHost(vmm);
    case 'vm':
      return createVm(vmm);
    case 'start':
      return sevSnpLaunchStart(vmm);
    case 'memory':
      return boardInit(vmm);
    case 'finish':
      return sevSnpLaunchFinish(vmm);
  }
}

/** A host without SNP boots all the same; what needs SNP fails later and names the reason. */
function* bootHost(vmm: Vmm): VmmStep {
  yield* hostBoot(vmm.machine);
  return undefined;
}

function* createVm(vmm: Vmm): VmmStep {
  return (yield* checkObjectProperties(vmm)) ?? (yield* kvmInit(vmm)) ?? (yield* sevCommonKvmInit(vmm));
}

/** The digest in the guest context. No host software can read it; the engine can. */
function launchDigest(vmm: Vmm): Uint8Array | undefined {
  const context = vmm.vm?.snpContext;
  const guest = context === undefined ? undefined : vmm.machine.asp.guests.get(spaOf(context));
  return guest && copyBytes(guest.ld);
}
