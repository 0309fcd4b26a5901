import type { Spa } from '../../address.js';
import type { Fault } from '../../fault.js';
import type { Vmpl } from '../../rmp/vmpl.js';
import type { EngineEvent } from '../../timeline/event.js';
import type { Vcpu } from '../system/vcpu.js';
import type { NestedTlb } from './nested-tlb.js';
import type { ResidentSlots } from './resident-slots.js';
import type { Vmcb } from './vmcb.js';

/** The processor that runs the vCPUs of all guests, one after the other. */
export interface Core {
  readonly vcpu: Vcpu;
  readonly slots: ResidentSlots;
  readonly nested: NestedTlb;
  /** Of the guest between VMRUN and #VMEXIT. */
  guest?: RunningGuest;
  /** The VMSA whose state is in the registers: it need not be loaded again while the page is as `saved` has it. */
  loaded?: Spa;
  readonly saved: Uint8Array;
  /** Revision of the nested page table for which translations were made. */
  nptRevision: number;
  nestedPageTable?: object;
  /** Events of the guest since control was last given back. */
  readonly events: EngineEvent[];
  /** Why the guest left, set before the stop `exit` is thrown. */
  exit?: PendingExit;
  /** The GHCB MSR while the guest runs. */
  ghcb: bigint;
  breakpoints?: ReadonlySet<bigint>;
  /** A page has found no room: the run ended before the instruction, which goes on when some pages have moved out. */
  needsRoom: boolean;
  /** PAUSE instructions since VMRUN that followed each other closely, and the count of instructions at the last one. */
  pauses: number;
  lastPause: number;
  /** RIP at which a vCPU stands for a breakpoint that has been reported. */
  readonly stoppedAt: Map<number, bigint>;
}

/** What the processor knows of the guest that it runs. */
export interface RunningGuest {
  readonly vcpu: number;
  readonly vmcb: Vmcb;
  readonly asid: number;
  readonly vmpl: Vmpl;
  readonly sevFeatures: bigint;
  /** Id of the memory encryption key of the ASID. */
  readonly key: number;
}

export interface PendingExit {
  readonly code: bigint;
  readonly info1: bigint;
  readonly info2: bigint;
  readonly fault?: Fault;
  /** The instruction that caused the exit is done: RIP is the next one. */
  readonly done?: boolean;
}

/** After a change of the rights or places of pages: everything is to be looked up again. */
export function flushTranslations({ vcpu, nested }: Core): void {
  vcpu.cpu.flushTlb();
  nested.flush();
}
