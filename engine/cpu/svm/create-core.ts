import { PAGE_SIZE } from '../../address.js';
import type { Machine } from '../../machine.js';
import type { GuestException } from '../exception.js';
import { Vcpu } from '../system/vcpu.js';
import type { Core } from './core.js';
import { createGuestMemory } from './guest-memory.js';
import { intercept, interceptException } from './intercepts.js';
import { NestedTlb } from './nested-tlb.js';
import { createResidentSlots } from './resident-slots.js';
import { VMSA_STATE_BYTES } from './vmsa-state.js';

/** Addresses in page tables have 52 bits with the C-bit; what is behind the end of memory has no nested mapping. */
const PHYSICAL_BITS = 52;
/** Linear memory has at most 4 GiB: more pages of a guest at once do not fit, and take turns. */
const MAX_SLOTS = 0xd000_0000 / PAGE_SIZE;
/** Pages beyond the guest's memory: VMSAs, pages in both views at once. */
const SPARE_SLOTS = 4096;

/** The processor of a machine, with room for the guests' pages that are there now. Untouched room costs nothing. */
export function createCore(machine: Machine): Core {
  let pages = SPARE_SLOTS;
  for (const vm of machine.kvm.vms.values()) for (const slot of vm.slots.values()) pages += slot.pages;
  const count = Math.min(pages, MAX_SLOTS);
  const nested = new NestedTlb();
  const memory = createGuestMemory(machine, () => core);
  const vcpu = new Vcpu(
    {
      guestBytes: count * PAGE_SIZE,
      physicalBits: PHYSICAL_BITS,
      // Every CPUID raises #VC: there is no value of the processor's own.
      cpuid: () => [0, 0, 0, 0],
      random: (bytes) => randomNumber(machine, bytes),
      intercept: (_, instruction) => intercept(contextOf(machine, core), instruction),
      reflect: (_, exception) => interceptException(contextOf(machine, core), exception),
      delivering: (_, exception) => recordException(machine, core, exception),
    },
    memory,
  );
  const core: Core = {
    vcpu,
    slots: createResidentSlots(vcpu.cpu, nested, count),
    nested,
    nptRevision: -1,
    events: [],
    saved: new Uint8Array(VMSA_STATE_BYTES),
    ghcb: 0n,
    needsRoom: false,
    pauses: 0,
    lastPause: 0,
    stoppedAt: new Map(),
  };
  machine.memory.resident = core.slots;
  return core;
}

function contextOf(machine: Machine, core: Core) {
  const { guest, vcpu } = core;
  if (!guest) throw new Error('instruction outside of VMRUN');
  return { machine, core, guest, vcpu };
}

/** RDRAND and RDSEED: from the seed of the machine, in the order in which the guests ask. */
function randomNumber(machine: Machine, bytes: number): bigint {
  let value = 0n;
  for (const byte of machine.random.bytes('RDRAND', bytes)) value = (value << 8n) | BigInt(byte);
  return value;
}

function recordException(machine: Machine, core: Core, exception: GuestException): void {
  const { vcpu, guest } = core;
  core.events.push({
    kind: 'exception',
    depth: machine.stack.frames.length,
    vcpu: guest?.vcpu ?? 0,
    rip: vcpu.registers.rip,
    instructions: vcpu.cpu.instructions,
    vector: exception.vector,
    errorCode: exception.errorCode,
    address: exception.address,
    ...(exception.fault ? { fault: exception.fault } : {}),
  });
  vcpu.cpu.leave();
}
