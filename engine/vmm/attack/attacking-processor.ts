import { type Gfn, gfnOf, hex, type Pfn, pfn } from '../../address.js';
import { nptLookup } from '../../cpu/svm/nested-page-table.js';
import type { Vmcb } from '../../cpu/svm/vmcb.js';
import type { Fault } from '../../fault.js';
import type { GuestProcessor } from '../../kvm/run/guest-processor.js';
import type { KvmVm } from '../../kvm/state.js';
import type { Machine } from '../../machine.js';
import { effectiveEntry } from '../../rmp/table.js';
import { inFrame, type Op } from '../../timeline/event.js';
import type { AttackState } from './attack-state.js';
import { RUN_ATTACKS } from './run-attacks.js';

/** What a step of an attack works on. */
export interface AttackContext {
  readonly machine: Machine;
  readonly vm: KvmVm;
  readonly vmcb: Vmcb;
  readonly state: AttackState;
  readonly gfn: Gfn;
  /** The frame that the nested page table gives the guest for the page. */
  readonly frame: Pfn;
}

/** One step: what the host does, and why it could not if so. */
export type AttackStep = (context: AttackContext) => Op<Fault | undefined>;

/**
 * The processor of a host that attacks: before it enters the guest again, the next step of `machine.attack` is due if
 * the guest has printed a line since the last one. The first one waits until the guest has validated the page. The host
 * sees neither registers nor memory of the guest; lines on the console are how it knows where the guest is.
 */
export function attackingProcessor(vm: KvmVm, processor: GuestProcessor): GuestProcessor {
  return {
    retired: processor.retired,
    *vmrun(machine, vcpu, vmcb, deadline) {
      yield* attack(machine, vm, vmcb);
      yield* processor.vmrun(machine, vcpu, vmcb, deadline);
    },
  };
}

function* attack(machine: Machine, vm: KvmVm, vmcb: Vmcb): Op<void> {
  const state = machine.attack;
  const steps = state && RUN_ATTACKS[state.name];
  const step = state && steps?.[state.step];
  if (!state || !steps || !step) return;
  const frame = validatedFrame(machine, vm, vmcb, state);
  const lines = lineCount(machine);
  if (state.lines === undefined) {
    if (frame !== undefined) state.lines = lines;
    return;
  }
  if (frame === undefined || lines === state.lines) return;
  state.lines = lines;
  state.original ??= frame;
  const number = ++state.step;
  const gfn = gfnOf(state.page);
  yield* inFrame(
    machine.stack,
    'kvm',
    `attack: ${state.name}`,
    { args: { step: `${number} of ${steps.length}`, gpa: hex(state.page) }, page: { gfn, pfn: frame } },
    () => step({ machine, vm, vmcb, state, gfn, frame }),
    (fault) => (fault ? { result: 'stopped by the hardware', fault } : { result: 'done' }),
  );
}

/** The frame behind the page. The first time it must be the guest's, and validated. */
function validatedFrame(machine: Machine, vm: KvmVm, vmcb: Vmcb, state: AttackState): Pfn | undefined {
  const mapped = nptLookup(vmcb.nestedPageTable, gfnOf(state.page));
  if (!mapped) return undefined;
  if (state.lines !== undefined) return mapped.pfn;
  const entry = effectiveEntry(machine.rmp, mapped.pfn);
  return entry.validated && entry.asid === vm.asid ? pfn(mapped.pfn) : undefined;
}

function lineCount({ console }: Machine): number {
  let count = 0;
  for (let at = console.serial.indexOf('\n'); at >= 0; at = console.serial.indexOf('\n', at + 1)) count++;
  return count;
}
