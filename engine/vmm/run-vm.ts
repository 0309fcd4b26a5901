import { type Fault, makeFault } from '../fault.js';
import { type ExceptionRuns, noteIncident } from '../guest/incident.js';
import {
  createPhaseTracker,
  isUefiFirmware,
  OVMF_PHASES,
  type OvmfPhase,
  type PhaseTracker,
  phaseOf,
} from '../guest/phases.js';
import { EMULATED_PROCESSOR, type GuestProcessor } from '../kvm/run/guest-processor.js';
import type { KvmVcpu } from '../kvm/state.js';
import { inFrame, type Op } from '../timeline/event.js';
import type { GuestExit } from '../timeline/run.js';
import { attackingProcessor } from './attack/attacking-processor.js';
import { nothingToAttack } from './attack/launch-attacks.js';
import { boardOf } from './board-of.js';
import { report, type Vmm, vmOf } from './context.js';
import { flushConsole } from './devices/console.js';
import { GUEST_HALTED, GUEST_STUCK } from './guest-end-faults.js';
import {
  createGuestPositions,
  endFault,
  type GuestPositions,
  notePosition,
  recentIncident,
  withStory,
} from './guest-story.js';
import { type CpuExec, kvmCpuExec } from './kvm-cpu-exec.js';

/**
 * Instructions until another vCPU has its turn: what a processor does in about 4 ms at 4 ns each, which is a tick of
 * a kernel with 250 Hz. A multiple of 1 ms keeps the cost of VMRUN out of the figures; a spinning vCPU hands over
 * before, with PAUSE.
 */
export const QUANTUM = 1_000_000;

/** What a guest that runs needs beside its VMM. */
export interface GuestRun {
  readonly vmm: Vmm;
  readonly processor: GuestProcessor;
  readonly positions: GuestPositions;
  readonly exceptions: ExceptionRuns;
  /** Of a guest with UEFI firmware. */
  readonly phases?: PhaseTracker;
}

/**
 * Runs the guest to its end: all vCPU threads of QEMU, one after the other in the order of their ids, each for a
 * quantum of instructions.
 */
export function* runGuest(vmm: Vmm, processor: GuestProcessor = EMULATED_PROCESSOR): Op<GuestExit> {
  boardOf(vmm.machine, vmm.plan);
  if (vmm.machine.attack) processor = attackingProcessor(vmOf(vmm), processor);
  const run: GuestRun = { vmm, processor, positions: createGuestPositions(), exceptions: new Map(), ...phasesOf(vmm) };
  if (run.phases) yield* announce(run.phases, vmm, 'ovmf.reset', 0);
  const exit = yield* watch(run, rounds(run));
  yield* flushConsole(vmm.machine);
  if (vmm.machine.attack?.step === 0) yield* nothingToAttack(vmm.machine);
  return exit;
}

/** Passes events on, and remembers of them what explains the end of the guest. */
function* watch<T>(run: GuestRun, op: Op<T>): Op<T> {
  const { machine } = run.vmm;
  for (;;) {
    const step = op.next();
    if (step.done) return step.value;
    notePosition(run.positions, step.value);
    noteIncident(machine, run.exceptions, step.value);
    yield step.value;
    const { phases } = run;
    const phase = phases && phaseOf(phases, machine, vmOf(run.vmm), step.value);
    if (phase) yield report(run.vmm, `phase ${phase} (${OVMF_PHASES[phase]})`);
  }
}

/** Phases are those of OVMF. */
function phasesOf({ plan }: Vmm): Pick<GuestRun, 'phases'> {
  return plan.firmware && isUefiFirmware(plan.firmware.bytes) ? { phases: createPhaseTracker() } : {};
}

function* announce(phases: PhaseTracker, vmm: Vmm, phase: OvmfPhase, instructions: number): Op<void> {
  phases.passed.set(phase, instructions);
  yield report(vmm, `phase ${phase} (${OVMF_PHASES[phase]})`);
}

function* rounds(run: GuestRun): Op<GuestExit> {
  const { vmm, processor } = run;
  const { machine } = vmm;
  const { vcpus } = vmOf(vmm);
  for (;;) {
    const before = processor.retired(machine);
    const stuck: { readonly vcpu: KvmVcpu; readonly fault: Fault }[] = [];
    let ready = 0;
    for (const vcpu of vcpus) {
      const now = processor.retired(machine);
      const { limit } = machine.guestControl;
      if (now >= limit) return { reason: 'limit', instructions: now };
      if (isAsleep(vcpu)) continue;
      const done = yield* inThread(run, vcpu, Math.min(now + QUANTUM, limit));
      if (done.kind === 'exit') return done.exit;
      if (done.kind === 'blocked') continue;
      ready++;
      if (vcpu.arch?.stuck) stuck.push({ vcpu, fault: vcpu.arch.stuck });
    }
    if (!vcpus.some((vcpu) => !isAsleep(vcpu))) return halted(run);
    const [first] = stuck;
    // Another vCPU could change what they fault on, as long as one of them moves.
    if (first && stuck.length === ready && processor.retired(machine) === before) return stuckExit(run, first);
  }
}

/** kvm_vcpu_block() would not return: nothing wakes this vCPU. */
function isAsleep({ arch }: KvmVcpu): boolean {
  return arch !== undefined && arch.mpState !== 'RUNNABLE' && !arch.updateProtectedGuestState;
}

function inThread(run: GuestRun, vcpu: KvmVcpu, deadline: number): Op<CpuExec> {
  return inFrame(
    run.vmm.machine.stack,
    'vmm',
    'kvm_cpu_exec',
    { args: { vcpu: vcpu.index } },
    function* () {
      const done = yield* kvmCpuExec(run, vcpu, deadline);
      yield* flushConsole(run.vmm.machine);
      return done;
    },
    describe,
  );
}

function describe(done: CpuExec): { result: string; fault?: Fault } {
  if (done.kind !== 'exit') return { result: done.kind };
  const fault = 'fault' in done.exit ? done.exit.fault : undefined;
  return fault ? { result: done.exit.reason, fault } : { result: done.exit.reason };
}

function halted({ vmm, processor }: GuestRun): GuestExit {
  const { machine } = vmm;
  const { vcpus } = vmOf(vmm);
  const states = vcpus.map(({ index, arch }) => `vCPU ${index} ${arch?.mpState ?? 'not started'}`).join(', ');
  const now = processor.retired(machine);
  const cause = vcpus.map(({ index }) => recentIncident(machine, index, now)).find((fault) => fault !== undefined);
  return { reason: 'halted', fault: withStory(makeFault(GUEST_HALTED, { states }, cause ? { cause } : {})) };
}

function stuckExit(run: GuestRun, { vcpu, fault }: { readonly vcpu: KvmVcpu; readonly fault: Fault }): GuestExit {
  return { reason: 'fault', fault: endFault(run, vcpu, GUEST_STUCK, {}, fault) };
}
