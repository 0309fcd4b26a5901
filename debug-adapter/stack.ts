import type { DebugProtocol } from '@vscode/debugprotocol';
import { hex } from '../engine/address.js';
import { toHex } from '../engine/bytes.js';
import type { Fault, SourceLocation } from '../engine/fault.js';
import type { LaunchPlan } from '../engine/launch/plan.js';
import type { Machine } from '../engine/machine.js';
import { pageState } from '../engine/rmp/page-state.js';
import type { EngineEvent, Frame } from '../engine/timeline/event.js';
import type { GuestExit } from '../engine/timeline/run.js';
import { callChain } from './guest/call-chain.js';
import { exceptionText, exitText, instructionText } from './guest/events.js';
import { requestText, VMGEXIT } from './guest/ghcb-request.js';
import { translate } from './guest/guest-memory.js';
import { isInGuest } from './guest/track.js';
import { instructionAddress, linearOf, modeText, type VcpuImage, vcpuImage } from './guest/vcpu-image.js';
import { virtualReference } from './memory-reference.js';
import type { Place } from './places.js';
import { FIRST_GUEST_FRAME } from './protocol.js';
import type { Track } from './run/track.js';
import { tellingArguments } from './variables/frame.js';
import { backingOf, theVm } from './variables/machine-state.js';

/** A frame as the stack shows it; lines start at 0. */
export interface StackEntry {
  readonly id: number;
  readonly name: string;
  readonly frame?: Frame;
  readonly at: SourceLocation;
  readonly hint: NonNullable<DebugProtocol.StackFrame['presentationHint']>;
  /** Memory reference of the instruction, for code of the guest. */
  readonly instruction?: string;
}

/** Id of the frame that stands for the launch when no operation is active. */
export const LAUNCH_FRAME_ID = 1_000_000_000;
/** Frames of one vCPU: a call chain has fewer. */
const FRAMES_PER_VCPU = 256;

const LAYER = { vmm: 'VMM', kvm: 'KVM', firmware: 'firmware', hardware: 'CPU', guest: 'guest' } as const;

export interface StackRequest {
  readonly machine: Machine;
  readonly plan: LaunchPlan;
  readonly track: Track;
  /** Thread: the vCPU. */
  readonly vcpu: number;
  /** A nearer place for the top frame of the host. */
  readonly exact?: SourceLocation;
  /** The guest has ended. */
  readonly exit?: GuestExit;
}

/**
 * The layers, innermost first: page, firmware command, ioctl, VMM call, manifest entry. Every frame has the line of
 * the entry that caused it, so that the editor stays on the manifest.
 *
 * Of a guest: code of the guest on top, then the functions that run it. After an exit the functions that handle it
 * stand on top of the guest's code, as if it had called them.
 */
export function stackEntries(request: StackRequest): readonly StackEntry[] {
  const { machine, plan, track, vcpu, exact } = request;
  const { guest, last } = track;
  const host = hostEntries(request);
  if (!guest.started) {
    const top = host[0];
    if (!top) return [{ id: LAUNCH_FRAME_ID, name: 'launch', at: exact ?? startOf(plan), hint: 'normal' }];
    return [{ ...top, at: exact ?? top.at }, ...host.slice(1)];
  }
  const image = vcpuImage(machine, vcpu);
  if (request.exit && vcpu === guest.vcpu) {
    return [...endEntries(request, request.exit, image), ...guestEntries(request, image, undefined)];
  }
  if (vcpu !== guest.vcpu) return [...guestEntries(request, image, undefined), waiting(request)];
  const code = guestEntries(request, image, last);
  const isGuestFrame = (entry: StackEntry): boolean => entry.frame?.layer === 'guest';
  if (isInGuest(machine, last) || host.some(isGuestFrame)) return [...code, ...host.filter((e) => !isGuestFrame(e))];
  const handlers = host.filter((entry) => !guest.below.has(entry.id));
  return [...handlers, ...code, ...host.slice(handlers.length)];
}

export function vcpuOfFrame(id: number): number | undefined {
  return id >= FIRST_GUEST_FRAME ? Math.floor((id - FIRST_GUEST_FRAME) / FRAMES_PER_VCPU) : undefined;
}

function startOf(plan: LaunchPlan): SourceLocation {
  return { file: plan.file, range: { start: 0, end: 0 } };
}

function hostEntries({ machine, plan, track }: StackRequest): readonly StackEntry[] {
  const entries: StackEntry[] = [];
  let at = startOf(plan);
  for (const frame of machine.stack.frames) {
    const entry = frame.entry === undefined ? undefined : plan.entries[frame.entry];
    if (entry) at = entry.at;
    // The guest runs after the last entry.
    else if (frame.layer === 'launch') at = plan.entries.at(-1)?.at ?? at;
    else if (frame.page) at = updateAt(plan, machine.stack.frames, frame.page.gfn * 4096) ?? at;
    const isInner = frame === machine.stack.frames.at(-1);
    entries.push({
      id: frame.id,
      name: frameTitle(frame, entry?.label, isInner ? track.last : undefined),
      frame,
      at,
      hint: 'normal',
    });
  }
  return entries.reverse();
}

/** The guest's code, innermost first; each frame stands at the part of the manifest that loaded its page. */
function guestEntries(
  { machine, plan, track, vcpu }: StackRequest,
  image: VcpuImage | undefined,
  last: EngineEvent | undefined,
): readonly StackEntry[] {
  if (!image) return [];
  const base = FIRST_GUEST_FRAME + vcpu * FRAMES_PER_VCPU;
  const fallback = plan.entries.at(-1)?.at ?? startOf(plan);
  return callChain(machine, image).map((address, level) => ({
    id: base + level,
    name:
      level === 0
        ? `guest ${hex(address)}${afterGuestEvent(machine, last)} · ${modeText(image)}`
        : `guest ${hex(address)}`,
    at: loadedFrom(machine, track, image, address) ?? fallback,
    hint: 'normal',
    instruction: virtualReference(vcpu, address),
  }));
}

function loadedFrom(machine: Machine, track: Track, image: VcpuImage, address: bigint): SourceLocation | undefined {
  const where = translate(machine, image, address);
  if (!where.ok) return undefined;
  const backing = backingOf(machine, where.value.gpa);
  const origin = backing.found ? track.origins.get(backing.pfn) : undefined;
  return origin?.at;
}

const ENDED: Readonly<Record<GuestExit['reason'], string>> = {
  termination: 'the guest asked for its end',
  shutdown: 'triple fault of the guest',
  'power-off': 'the guest switched itself off',
  reset: 'the guest reset the machine',
  halted: 'every vCPU waits for ever',
  fault: 'the guest cannot go on',
  limit: 'the guest was stopped',
};
/** Within the frames of a vCPU, beyond its call chain. */
const CAUSE_LEVEL = FRAMES_PER_VCPU - 1;

/**
 * On top of a guest that has ended: the end, at the manifest, where the explanation is shown, and the instruction
 * that led to it, where another one than the last.
 */
function endEntries(
  { machine, plan, track, vcpu, exact }: StackRequest,
  exit: GuestExit,
  image: VcpuImage | undefined,
): readonly StackEntry[] {
  const incident = machine.incidents.get(vcpu);
  const isCause = 'fault' in exit && incident && causesOf(exit.fault).includes(incident.fault);
  const rip = isCause ? incident.rip : undefined;
  const address = image && (rip === undefined ? instructionAddress(image) : linearOf(image, rip));
  const code = image && address !== undefined ? loadedFrom(machine, track, image, address) : undefined;
  const at = exact ?? code ?? plan.entries.at(-1)?.at ?? startOf(plan);
  const end: StackEntry = { id: LAUNCH_FRAME_ID, name: ENDED[exit.reason], at, hint: 'normal' };
  if (rip === undefined || address === undefined) return [end];
  const cause: StackEntry = {
    id: FIRST_GUEST_FRAME + vcpu * FRAMES_PER_VCPU + CAUSE_LEVEL,
    name: `what led to it: guest ${hex(address)}`,
    at,
    hint: 'normal',
    instruction: virtualReference(vcpu, address),
  };
  return [end, cause];
}

function causesOf(fault: Fault | undefined): readonly Fault[] {
  return fault ? [fault, ...causesOf(fault.cause)] : [];
}

/** Below the code of a vCPU that is not the one at work. */
function waiting({ machine, plan, vcpu }: StackRequest): StackEntry {
  const state = theVm(machine)?.vcpus[vcpu]?.arch?.mpState;
  return {
    id: LAUNCH_FRAME_ID + 1 + vcpu,
    name: state === undefined ? 'not run yet' : state === 'RUNNABLE' ? 'waits for its turn' : `waits: ${state}`,
    at: plan.entries.at(-1)?.at ?? startOf(plan),
    hint: 'label',
  };
}

/** What tells frames apart comes first, for a narrow side bar: name, what has just happened, arguments, layer. */
function frameTitle(frame: Frame, label: string | undefined, last: EngineEvent | undefined): string {
  if (frame.layer === 'launch') return `${label ?? `run of the ${frame.name}`}${afterEvent(last)}`;
  const call = [`${frame.name}${afterEvent(last)}`, tellingArguments(frame)].filter((part) => part !== '').join(' ');
  return `${call} · ${LAYER[frame.layer]}`;
}

/** What has just happened in the top frame, where it is not simply about to begin. */
function afterEvent(last: EngineEvent | undefined): string {
  switch (last?.kind) {
    case 'leave':
      return ` → ${last.result}`;
    case 'rmp':
      return `: ${pageState(last.change.before)} → ${pageState(last.change.after)}`;
    case 'digest':
      return `: digest ${toHex(last.update.after).slice(0, 8)}…`;
    default:
      return '';
  }
}

function afterGuestEvent(machine: Machine, last: EngineEvent | undefined): string {
  switch (last?.kind) {
    case 'exit':
      return ` → ${last.exitCode === VMGEXIT ? `VMGEXIT: ${requestText(machine, last)}` : exitText(last)}`;
    case 'exception':
      return ` ← ${exceptionText(last)}`;
    case 'instruction':
      return `: ${instructionText(last)}`;
    default:
      return '';
  }
}

function updateAt(plan: LaunchPlan, frames: readonly Frame[], gpa: number): SourceLocation | undefined {
  const entry = frames.find((frame) => frame.entry !== undefined)?.entry;
  return plan.updates.find((u) => u.entry === entry && gpa >= u.gpa && gpa < u.gpa + u.length)?.at;
}

/** Lines and columns as the client counts them. */
export interface ClientCounting {
  readonly lines: 0 | 1;
  readonly columns: 0 | 1;
}

export function toStackFrame(
  entry: StackEntry,
  place: Place,
  source: DebugProtocol.Source,
  { lines, columns }: ClientCounting,
): DebugProtocol.StackFrame {
  return {
    id: entry.id,
    name: entry.name,
    source,
    line: place.line + lines,
    column: place.character + columns,
    presentationHint: entry.hint,
    ...(entry.instruction === undefined ? {} : { instructionPointerReference: entry.instruction }),
  };
}
