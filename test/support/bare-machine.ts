import { gpa, PAGE_SIZE, PAGES_PER_2M, type Pfn, pfn, type Spa, spa, spaOf } from '../../engine/address.js';
import { snpActivate } from '../../engine/asp/commands/snp-activate.js';
import { snpDfFlush } from '../../engine/asp/commands/snp-df-flush.js';
import { snpGctxCreate } from '../../engine/asp/commands/snp-gctx-create.js';
import { snpInit } from '../../engine/asp/commands/snp-init.js';
import { snpLaunchStart } from '../../engine/asp/commands/snp-launch-start.js';
import { createAspState, type GuestContext, wbinvdOnAllCores } from '../../engine/asp/state.js';
import { portableCrypto } from '../../engine/crypto.js';
import { createKvmHost } from '../../engine/kvm/state.js';
import type { Machine } from '../../engine/machine.js';
import { allocPage, createSystemMemory } from '../../engine/memory/system-memory.js';
import { createUserMemory } from '../../engine/memory/user-memory.js';
import { seededRandom } from '../../engine/random.js';
import { rmpUpdate } from '../../engine/rmp/rmpupdate.js';
import { createRmp, rmpSize } from '../../engine/rmp/table.js';
import { firmwareProfile, KVM_PROFILES, PROCESSOR_PROFILES } from '../../engine/spec/versions.js';
import { createFrameStack, type EngineEvent, type Op } from '../../engine/timeline/event.js';

/** Memory of a bare machine; the RMP lies at its bottom. */
export const BARE_PAGES = 8 * PAGES_PER_2M;

/** A machine after reset, with 16 MiB of memory: a Genoa, firmware ABI 1.55, KVM 6.11. */
export function createBareMachine(overrides: Partial<Machine> = {}): Machine {
  const firstFree = pfn(Math.ceil(rmpSize(BARE_PAGES) / PAGE_SIZE));
  return {
    processor: PROCESSOR_PROFILES.genoa,
    firmware: firmwareProfile(55),
    kvmProfile: KVM_PROFILES['6.11'],
    crypto: portableCrypto,
    random: seededRandom('test'),
    memory: createSystemMemory(BARE_PAGES * PAGE_SIZE, firstFree),
    user: createUserMemory(),
    rmp: createRmp(spa(0), BARE_PAGES),
    asp: createAspState(),
    kvm: createKvmHost(),
    stack: createFrameStack(),
    guestControl: { slice: 1_000_000, breakpoints: new Set(), limit: Number.POSITIVE_INFINITY },
    hostTime: 0,
    incidents: new Map(),
    console: { serial: '', debugcon: '' },
    ...overrides,
  };
}

/** Runs an operation to its end. */
export function run<T>(op: Op<T>): T {
  for (;;) {
    const step = op.next();
    if (step.done) return step.value;
  }
}

/** The same, with its events. */
export function collect<T>(op: Op<T>): { value: T; events: EngineEvent[] } {
  const events: EngineEvent[] = [];
  for (;;) {
    const step = op.next();
    if (step.done) return { value: step.value, events };
    events.push(step.value);
  }
}

/** Throws unless the operation succeeded: for the steps before the one under test. */
export function must<T extends { readonly fault?: { readonly check: string; readonly message: string } }>(
  op: Op<T>,
): T {
  const result = run(op);
  if (result.fault) throw new Error(`${result.fault.check}: ${result.fault.message}`);
  return result;
}

/** A machine after SNP_INIT and the first SNP_DF_FLUSH. */
export function createInitialisedMachine(overrides: Partial<Machine> = {}): Machine {
  const machine = createBareMachine(overrides);
  must(snpInit(machine));
  wbinvdOnAllCores(machine.asp);
  must(snpDfFlush(machine));
  return machine;
}

/** A new page of host memory. */
export function newPage(machine: Machine, use = 'test'): Pfn {
  const frame = allocPage(machine.memory, use);
  if (frame === undefined) throw new Error('no memory left');
  return frame;
}

/** A new page in state Firmware. */
export function firmwarePage(machine: Machine): Spa {
  const frame = newPage(machine);
  must(rmpUpdate(machine, frame, { assigned: true, pageSize2M: false, immutable: true, gpa: gpa(0), asid: 0 }));
  return spaOf(frame);
}

/** A new page in state Pre-Guest. */
export function preGuestPage(machine: Machine, asid: number, address: number): Spa {
  const frame = newPage(machine);
  must(rmpUpdate(machine, frame, { assigned: true, pageSize2M: false, immutable: true, gpa: gpa(address), asid }));
  return spaOf(frame);
}

export interface BareGuest {
  readonly gctx: Spa;
  readonly guest: GuestContext;
}

/** A guest in state INIT. */
export function createGuest(machine: Machine): BareGuest {
  const gctx = firmwarePage(machine);
  must(snpGctxCreate(machine, { page: gctx }));
  const guest = machine.asp.guests.get(gctx);
  if (!guest) throw new Error('no guest');
  return { gctx, guest };
}

export const POLICY = 0x3_0000n;
export const GOSVW = new Uint8Array(16);

/** A guest in state LAUNCH, active with `asid`; 0 leaves it inactive. */
export function launchGuest(
  machine: Machine,
  options: { readonly asid?: number; readonly policy?: bigint; readonly imiEnabled?: boolean } = {},
): BareGuest {
  const made = createGuest(machine);
  const { gctx } = made;
  must(
    snpLaunchStart(machine, {
      gctx,
      policy: options.policy ?? POLICY,
      gosvw: GOSVW,
      maEnabled: false,
      imiEnabled: options.imiEnabled ?? false,
    }),
  );
  const asid = options.asid ?? 1;
  if (asid !== 0) must(snpActivate(machine, { gctx, asid }));
  return made;
}
