import type { Machine } from '../../engine/machine.js';
import type { EngineEvent, Frame } from '../../engine/timeline/event.js';
import { type ConsoleLines, createConsoleLines } from './console-lines.js';
import type { ExceptionEvent, ExitEvent } from './events.js';
import { createSteering, type Steering } from './steering.js';

/** An instruction that is about to be executed: its linear address, and the instructions retired before. */
export interface InstructionPlace {
  readonly address: bigint;
  readonly instructions: number;
}

/** What the debugger remembers of a guest that runs. */
export interface GuestTrack {
  /** The first VMRUN has been reached: threads are vCPUs from now on. */
  started: boolean;
  /** The vCPU that the processor or the host is busy with. */
  vcpu: number;
  /** Frames that were active when this vCPU was entered last: they run it; newer ones handle its exit. */
  below: ReadonlySet<number>;
  /** vCPUs that have been entered. */
  readonly entered: Set<number>;
  readonly lastExit: Map<number, ExitEvent>;
  readonly lastException: Map<number, ExceptionEvent>;
  /** Where breakpoints were looked for last, by vCPU. */
  readonly seen: Map<number, InstructionPlace>;
  readonly console: ConsoleLines;
  readonly steering: Steering;
}

export function createGuestTrack(): GuestTrack {
  return {
    started: false,
    vcpu: 0,
    below: new Set(),
    entered: new Set(),
    lastExit: new Map(),
    lastException: new Map(),
    seen: new Map(),
    console: createConsoleLines(),
    steering: createSteering(),
  };
}

export function trackGuest(track: GuestTrack, event: EngineEvent, machine: Machine): void {
  switch (event.kind) {
    case 'enter': {
      const vcpu = vcpuOf(event.frame);
      if (vcpu !== undefined) track.vcpu = vcpu;
      if (event.frame.layer !== 'guest') return;
      track.started = true;
      track.below = new Set(machine.stack.frames.slice(0, -1).map((frame) => frame.id));
      return;
    }
    case 'exit':
      track.vcpu = event.vcpu;
      track.lastExit.set(event.vcpu, event);
      return;
    case 'exception':
      track.vcpu = event.vcpu;
      track.lastException.set(event.vcpu, event);
      return;
    case 'instruction':
    case 'control':
      track.vcpu = event.vcpu;
      return;
    case 'leave':
    case 'rmp':
    case 'digest':
    case 'log':
    case 'console':
      return;
  }
}

/** The vCPU of an operation that names one. */
function vcpuOf(frame: Frame): number | undefined {
  const value = frame.args['vcpu'];
  return frame.layer !== 'launch' && typeof value === 'number' ? value : undefined;
}

/** Between VMRUN and #VMEXIT: the next thing to happen is an instruction of the guest. */
export function isInGuest({ stack }: Machine, last: EngineEvent | undefined): boolean {
  return stack.frames.at(-1)?.layer === 'guest' && last?.kind !== 'exit' && last?.kind !== 'leave';
}
