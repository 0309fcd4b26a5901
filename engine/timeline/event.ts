import type { Gfn, Pfn } from '../address.js';
import type { Fault, Operands } from '../fault.js';
import type { RmpChange } from '../rmp/table.js';

/**
 * Layers of the stack, outermost first: a manifest entry, the VMM, a KVM ioctl, a firmware command, an instruction of
 * the host; `guest` is a vCPU between VMRUN and #VMEXIT.
 */
export type FrameLayer = 'launch' | 'vmm' | 'kvm' | 'firmware' | 'hardware' | 'guest';

/** One active operation. A KVM handler, a firmware command and the page at hand are frames. */
export interface Frame {
  /** Ascending, unique in a run. */
  readonly id: number;
  readonly layer: FrameLayer;
  /** As Linux or AMD spell it: KVM_SEV_SNP_LAUNCH_UPDATE, snp_launch_update_vmsa, SNP_PAGE_RECLAIM. */
  readonly name: string;
  readonly args: Operands;
  /** Launch entry that caused it; index into LaunchPlan.entries. Set on frames of layer `launch`. */
  readonly entry?: number;
  /** The page this frame works on, if one. */
  readonly page?: { readonly gfn: Gfn; readonly pfn?: Pfn };
}

/** Everything that a person may want to see or to stop at, in order. `depth` counts the frames around it. */
export type EngineEvent =
  | { readonly kind: 'enter'; readonly depth: number; readonly frame: Frame }
  | {
      readonly kind: 'leave';
      readonly depth: number;
      readonly frame: Frame;
      readonly result: string;
      readonly fault?: Fault;
    }
  | { readonly kind: 'rmp'; readonly depth: number; readonly cause: string; readonly change: RmpChange }
  | { readonly kind: 'digest'; readonly depth: number; readonly update: DigestUpdate }
  | {
      readonly kind: 'log';
      readonly depth: number;
      readonly source: 'vmm' | 'kvm' | 'firmware';
      readonly text: string;
    }
  | GuestEvent;

/** Which vCPU, and where it stands: RIP, and instructions retired on the machine so far. */
interface GuestPosition {
  readonly depth: number;
  readonly vcpu: number;
  readonly rip: bigint;
  readonly instructions: number;
}

/** What happens between VMRUN and #VMEXIT. */
export type GuestEvent =
  /** #VMEXIT: the state has been saved to the VMSA. Codes as in engine/spec/exit-code.ts. */
  | ({
      readonly kind: 'exit';
      readonly exitCode: bigint;
      readonly exitInfo1: bigint;
      readonly exitInfo2: bigint;
      /** Value of the GHCB MSR, for VMGEXIT. */
      readonly ghcb: bigint;
      /** Why, for an RMP fault or a VMRUN that failed. */
      readonly fault?: Fault;
    } & GuestPosition)
  /** An exception is delivered to the guest; `rip` is where it happened. */
  | ({
      readonly kind: 'exception';
      readonly vector: number;
      readonly errorCode: number | undefined;
      /** CR2 of #PF, and of #VC with error code 0x404. */
      readonly address: bigint | undefined;
      readonly fault?: Fault;
    } & GuestPosition)
  /** PVALIDATE, RMPADJUST or RMPQUERY is done; `rmp` events of its changes come before. */
  | ({
      readonly kind: 'instruction';
      readonly name: 'PVALIDATE' | 'RMPADJUST' | 'RMPQUERY';
      readonly operands: Operands;
      /** EAX. */
      readonly code: number;
      readonly carry: boolean;
      readonly fault?: Fault;
    } & GuestPosition)
  /** Output of the guest on an emulated device, as it comes: not necessarily whole lines. */
  | {
      readonly kind: 'console';
      readonly depth: number;
      readonly source: 'serial' | 'debugcon';
      readonly text: string;
    }
  /** No event of the machine: a place where whoever drives the run may stop. Not counted as a position. */
  | ({ readonly kind: 'control'; readonly reason: 'slice' | 'breakpoint' } & GuestPosition);

/** One step of the launch digest chain. */
export interface DigestUpdate {
  /** 48 bytes each. */
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  /** SHA-384 of the page, or zeros. */
  readonly contents: Uint8Array;
  readonly pageType: number;
  readonly gpa: number;
}

/** Host code is written as generators of this type: it yields events and returns its result. */
export type Op<T> = Generator<EngineEvent, T, void>;

/** The active frames of a run; owned by the machine so that any operation can open one. */
export interface FrameStack {
  readonly frames: Frame[];
  nextId: number;
  /** A dry run wants only the outcome: frames are opened without their enter and leave events. */
  quiet: boolean;
}

export function createFrameStack(): FrameStack {
  return { frames: [], nextId: 1, quiet: false };
}

export interface FrameOptions {
  readonly args?: Operands;
  readonly entry?: number;
  readonly page?: Frame['page'];
}

/**
 * Runs `body` as a frame: yields `enter` (the frame is on the stack, nothing has run), the body's events, and
 * `leave` with the result in words. Where frames come by the thousand `body` calls a generator function declared once:
 * the first call of one that was made on the spot costs V8 some microseconds and garbage in its old generation.
 */
export function* inFrame<T>(
  stack: FrameStack,
  layer: FrameLayer,
  name: string,
  options: FrameOptions,
  body: (frame: Frame) => Op<T>,
  describe: (value: T) => { result: string; fault?: Fault },
): Op<T> {
  const frame: Frame = {
    id: stack.nextId++,
    layer,
    name,
    args: options.args ?? {},
    entry: options.entry,
    page: options.page,
  };
  const depth = stack.frames.length;
  if (stack.quiet) return yield* body(frame);
  stack.frames.push(frame);
  yield { kind: 'enter', depth, frame };
  const value = yield* body(frame);
  const { result, fault } = describe(value);
  yield fault ? { kind: 'leave', depth, frame, result, fault } : { kind: 'leave', depth, frame, result };
  stack.frames.pop();
  return value;
}

export function rmpEvent(stack: FrameStack, cause: string, change: RmpChange): EngineEvent {
  return { kind: 'rmp', depth: stack.frames.length, cause, change };
}

export function logEvent(stack: FrameStack, source: 'vmm' | 'kvm' | 'firmware', text: string): EngineEvent {
  return { kind: 'log', depth: stack.frames.length, source, text };
}
