import type { AspState } from './asp/state.js';
import type { Core } from './cpu/svm/core.js';
import type { Crypto } from './crypto.js';
import type { Fault } from './fault.js';
import type { KvmHost } from './kvm/state.js';
import type { SystemMemory } from './memory/system-memory.js';
import type { UserMemory } from './memory/user-memory.js';
import type { SeededRandom } from './random.js';
import type { Rmp } from './rmp/table.js';
import type { FirmwareProfile, KvmProfile, ProcessorProfile } from './spec/versions.js';
import type { FrameStack } from './timeline/event.js';
import type { AttackState } from './vmm/attack/attack-state.js';
import type { Board } from './vmm/devices/board.js';

/** The whole emulated machine: plain state. Operations live in the folders; nothing here has methods. */
export interface Machine {
  readonly processor: ProcessorProfile;
  readonly firmware: FirmwareProfile;
  readonly kvmProfile: KvmProfile;
  readonly crypto: Crypto;
  readonly random: SeededRandom;
  readonly memory: SystemMemory;
  readonly user: UserMemory;
  readonly rmp: Rmp;
  readonly asp: AspState;
  readonly kvm: KvmHost;
  readonly stack: FrameStack;
  /** How the guest is to be run; whoever drives the run sets it. */
  readonly guestControl: GuestControl;
  /** Nanoseconds that #VMEXITs and the VMM have taken, so that devices see time pass in them. */
  hostTime: number;
  /** The processor that runs the vCPUs, one after the other; made at the first VMRUN. */
  core?: Core;
  /** The last thing that went wrong for a guest, by vCPU: why it ends, if it ends soon after. */
  readonly incidents: Map<number, GuestIncident>;
  /** What the guest has written to its serial port and to the debug console. */
  readonly console: { serial: string; debugcon: string };
  /** What a malicious host does to the guest, and how far it has come; absent: the host is honest. */
  readonly attack?: AttackState;
  /** The VMM's devices; made when the guest is first run. */
  board?: Board;
}

/** An event that a guest can survive, but often does not: #VC for a page not validated, PVALIDATE that fails, … */
export interface GuestIncident {
  readonly vcpu: number;
  /** Unknown for what the host refused. */
  readonly rip?: bigint;
  /** Instructions retired on the machine by then. */
  readonly instructions: number;
  readonly fault: Fault;
}

/** Where a running guest gives control back to whoever drives the run: `control` events. Never changes what it does. */
export interface GuestControl {
  /** Instructions until the next `control` event of reason `slice`; 1 steps. */
  slice: number;
  /** RIPs before which the guest stops, on every vCPU; replaced as a whole. */
  breakpoints: ReadonlySet<bigint>;
  /** The run ends after this many instructions of the guest. */
  limit: number;
}
