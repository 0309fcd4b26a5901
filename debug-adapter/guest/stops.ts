import type { Fault } from '../../engine/fault.js';
import type { Machine } from '../../engine/machine.js';
import type { EngineEvent } from '../../engine/timeline/event.js';
import { guestNamesOf } from '../breakpoints/guest-names.js';
import { type BreakpointStore, type Hit, hitsOf, hitsOfInstruction, hitsOfNames } from '../breakpoints/store.js';
import type { Environment } from '../evaluate/names.js';
import { exceptionText, exitText, vectorName } from './events.js';
import type { GuestTrack, InstructionPlace } from './track.js';
import { instructionAddress, type VcpuImage, vcpuImage } from './vcpu-image.js';

/** The breakpoints that an event reaches, in the host or in the guest. */
export function hitsOfEvent(
  store: BreakpointStore,
  event: EngineEvent,
  machine: Machine,
  track: GuestTrack,
  environment: () => Environment,
): Hit | undefined {
  switch (event.kind) {
    case 'enter':
      if (event.frame.layer !== 'guest') return hitsOf(store, event.frame, environment);
      // The processor does not stop before the first instruction after VMRUN.
      return hitsHere(store, machine, track, environment);
    case 'exit':
    case 'exception':
    case 'instruction':
      return hitsOfNames(store, guestNamesOf(event), environment);
    case 'control':
      return hitsHere(store, machine, track, environment);
    default:
      return undefined;
  }
}

function hitsHere(
  store: BreakpointStore,
  machine: Machine,
  track: GuestTrack,
  environment: () => Environment,
): Hit | undefined {
  if (store.instructions.length === 0) return undefined;
  const image = vcpuImage(machine, track.vcpu);
  if (!image) return undefined;
  const here = placeOf(machine, image);
  // An exit in between, such as a nested page fault of the same instruction, does not make it another one.
  if (samePlace(track.seen.get(track.vcpu), here)) return undefined;
  track.seen.set(track.vcpu, here);
  return hitsOfInstruction(store, here.address, environment);
}

/** Where a vCPU stands now: it has been seen there, so that no breakpoint of this instruction stops it again. */
export function noteStop(machine: Machine, track: GuestTrack): void {
  const image = track.started ? vcpuImage(machine, track.vcpu) : undefined;
  if (image) track.seen.set(track.vcpu, placeOf(machine, image));
}

function placeOf(machine: Machine, image: VcpuImage): InstructionPlace {
  return { address: instructionAddress(image), instructions: machine.core?.vcpu.cpu.instructions ?? 0 };
}

function samePlace(a: InstructionPlace | undefined, b: InstructionPlace): boolean {
  return a !== undefined && a.address === b.address && a.instructions === b.instructions;
}

/** What a filter stops at, in words. */
export interface Trouble {
  readonly title: string;
  readonly description: string;
  readonly fault?: Fault;
}

/** An exception or an RMP fault of the guest that the active filters ask for; values are their conditions. */
export function troubleOf(event: EngineEvent, filters: ReadonlyMap<string, string>): Trouble | undefined {
  if (event.kind !== 'exception' && event.kind !== 'exit') return undefined;
  const { fault } = event;
  const description = event.kind === 'exception' ? exceptionText(event) : exitText(event);
  const title = event.kind === 'exception' ? vectorName(event.vector) : description;
  if (fault && filters.has('rmp-fault')) return { title: `${title}: ${fault.title}`, description, fault };
  if (event.kind !== 'exception') return undefined;
  const condition = filters.get('guest-exception');
  if (condition === undefined || !isWanted(condition, vectorName(event.vector))) return undefined;
  return { title, description, ...(fault ? { fault } : {}) };
}

/** `#VC, pf`: names with or without the number sign; nothing means all. */
function isWanted(condition: string, name: string): boolean {
  const plain = (text: string): string => text.trim().replace(/^#/, '').toUpperCase();
  const wanted = condition
    .split(/[\s,;|]+/)
    .map(plain)
    .filter((text) => text !== '');
  return wanted.length === 0 || wanted.includes(plain(name));
}
