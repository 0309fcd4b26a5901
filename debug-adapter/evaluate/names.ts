import type { LaunchPlan } from '../../engine/launch/plan.js';
import type { Machine } from '../../engine/machine.js';
import type { Frame } from '../../engine/timeline/event.js';
import { currentEntry, pageAtHand, type Track } from '../run/track.js';
import { argumentMembers, frameView } from '../variables/frame.js';
import { contextView } from '../variables/guest-context.js';
import { firmwareErrorView, kvmMembers } from '../variables/kvm.js';
import { theContext, theVm } from '../variables/machine-state.js';
import { pageView } from '../variables/page.js';
import { platformMembers } from '../variables/platform.js';
import { policyView } from '../variables/policy.js';
import { registerNamed } from '../variables/registers.js';
import { exitView, vcpuMembers } from '../variables/vcpu.js';
import {
  absentView,
  bytesView,
  countView,
  groupView,
  type Member,
  member,
  textView,
  type View,
} from '../variables/view.js';
import { ExpressionError } from './lexer.js';

/** What an expression can see: the machine between two events, and the frame that was chosen in the stack. */
export interface Environment {
  readonly machine: Machine;
  readonly plan: LaunchPlan;
  readonly track: Track;
  readonly position: number;
  /** The last command's complete fault, if the launch stands on one. */
  readonly fault?: View;
  readonly frame?: Frame;
  /** The vCPU whose registers are meant; undefined before the guest runs. */
  readonly vcpu?: number;
}

export interface Name {
  readonly name: string;
  readonly detail: string;
  readonly view: (environment: Environment) => View;
}

/** Every name that stands for something. Arguments of the frames come on top; see `lookup`. */
export const NAMES: readonly Name[] = [
  { name: 'position', detail: 'number of events so far', view: ({ position }) => countView(position) },
  { name: 'entry', detail: 'the launch entry: kind, label, index', view: entryView },
  {
    name: 'gctx',
    detail: 'the guest context, which only the firmware can read',
    view: ({ machine }) => contextView(machine),
  },
  { name: 'digest', detail: 'the launch digest so far', view: digestView },
  { name: 'policy', detail: 'the guest policy, field by field', view: policyOf },
  { name: 'asid', detail: "the guest's ASID, 0 before KVM_SEV_INIT2", view: asidOf },
  { name: 'page', detail: 'the page at hand: RMP entry and contents', view: pageOf },
  {
    name: 'frame',
    detail: 'the chosen stack frame: name, layer, args',
    view: ({ frame }) => (frame ? frameView(frame) : absentView('no frame')),
  },
  {
    name: 'kvm',
    detail: 'state of KVM',
    view: ({ machine, track }) => groupView(machine.kvmProfile.release, () => kvmMembers(machine, track)),
  },
  { name: 'vm', detail: 'the virtual machine: slots, vCPUs, guest_memfd, attributes', view: vmOf },
  {
    name: 'platform',
    detail: 'the processor and its secure processor',
    view: ({ machine }) => groupView(machine.asp.platform, () => platformMembers(machine)),
  },
  { name: 'vcpu', detail: 'the vCPU: its number, mode, last exit, GHCB, VMSA', view: vcpuOf },
  {
    name: 'exit',
    detail: 'the last #VMEXIT of the vCPU',
    view: ({ track, vcpu }) =>
      vcpu === undefined ? absentView('the guest does not run yet') : exitView(track.guest, vcpu),
  },
  { name: 'fw_error', detail: 'status of the latest firmware command', view: ({ track }) => firmwareErrorView(track) },
  {
    name: 'fault',
    detail: 'the fault that the launch stands on',
    view: ({ fault }) => fault ?? absentView('no fault'),
  },
];

/** A name of the table, else an argument of the chosen frame or of one around it. Throws an ExpressionError. */
export function lookup(environment: Environment, name: string): View {
  const known = NAMES.find((entry) => entry.name === name);
  if (known && (known.name !== 'vcpu' || environment.vcpu !== undefined)) return known.view(environment);
  const register =
    environment.vcpu === undefined ? undefined : registerNamed(environment.machine, environment.vcpu, name);
  if (register) return register;
  const frames = environment.machine.stack.frames;
  const from = environment.frame ? frames.indexOf(environment.frame) : frames.length - 1;
  for (let i = from; i >= 0; i--) {
    const frame = frames[i];
    const argument = frame && argumentMembers(frame).find((m) => m.name === name);
    if (argument) return argument.view;
  }
  if (known) return known.view(environment);
  throw new ExpressionError(`There is no ${name} here; help lists the names.`);
}

function vcpuOf({ machine, track, vcpu }: Environment): View {
  if (vcpu === undefined) return absentView('the guest does not run yet');
  const members = (): readonly Member[] => vcpuMembers(machine, track.guest, vcpu);
  return { ...groupView(String(vcpu), members, 'vCPU'), scalar: BigInt(vcpu) };
}

function entryView({ machine, plan }: Environment): View {
  const index = currentEntry(machine);
  const entry = index === undefined ? undefined : plan.entries[index];
  if (index === undefined || !entry) return absentView('between two entries');
  return groupView(entry.label, () => [
    member('label', textView(entry.label)),
    member('kind', textView(entry.kind)),
    member('index', countView(index)),
  ]);
}

function digestView({ machine }: Environment): View {
  const context = theContext(machine);
  return context ? bytesView(context.ld) : absentView('no launch digest yet: SNP_LAUNCH_START has not run');
}

function policyOf({ machine, plan }: Environment): View {
  const context = theContext(machine);
  // Before LAUNCH_START the context's policy is zero and means nothing.
  return policyView(context && context.state !== 'INIT' ? context.policy : plan.start.policy);
}

function asidOf({ machine }: Environment): View {
  return countView(theVm(machine)?.asid ?? 0);
}

function pageOf({ machine, track, frame }: Environment): View {
  const page = pageAtHand(machine, track, frame);
  return page === undefined ? absentView('no page at hand') : pageView(machine, track, page);
}

function vmOf({ machine, track }: Environment): View {
  const vm = kvmMembers(machine, track).find((m) => m.name === 'vm');
  return vm?.view ?? absentView('no virtual machine yet');
}
