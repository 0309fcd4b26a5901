import { gfnOf, gpa, gpaOf, hex, spaOf } from '../../address.js';
import { defineFault, type Fault, makeFault } from '../../fault.js';
import type { Machine } from '../../machine.js';
import { residentSlot } from '../../memory/system-memory.js';
import { checkGuestAccess, type GuestAccess } from '../../rmp/access-check.js';
import { NPF, npfAccessBits } from '../../spec/npf-error.js';
import type { Translation } from '../environment.js';
import { type CpuStop, exception, VECTOR } from '../exception.js';
import { PAGE } from '../state/layout.js';
import type { PhysicalAccess, PhysicalMemory } from '../system/vcpu.js';
import type { Core, RunningGuest } from './core.js';
import { type NptTranslation, nptLookup } from './nested-page-table.js';
import { EXIT } from './vmcb.js';

/**
 * Guest-physical memory of an SNP guest: C-bit, nested page table, RMP, key. All on the slow path: what passes here
 * stays in the software TLB until RMP, nested page table or key of the page change. AMD APM volume 2, 15.34.5,
 * 15.36.10.
 */

export const HOST_MEMORY = defineFault<{ gpa: string; spa: string }>({
  check: 'hw-host-memory',
  layer: 'hardware',
  command: 'memory access',
  code: { kind: 'input' },
  title: 'Nested page table leads out of system memory',
  message: (o) => `Guest page ${o.gpa} is mapped to ${o.spa}, where the emulated host has no memory.`,
  why: 'The nested page table is the host’s; an address behind the end of memory in it is a defect of the emulator.',
  hint: 'Report the launch as a defect of SEV-SNP Workbench.',
  reference: 'AMD64 APM volume 2, 15.25',
  confirmed: true,
});

/** Ends the run before the instruction; the reason is in `core.exit`. */
export const EXIT_BEFORE: CpuStop = { kind: 'stop', reason: 'exit', fault: undefined };

/** #VC error code of a nested page fault with a reserved bit: MMIO. */
const VC_NPF = 0x400;

/** Weight of the C-bit in an address. */
const cBit = (machine: Machine): number => 2 ** machine.processor.cBit;

const KINDS = { read: 0, write: 2, execute: 4, walk: 8, 'walk-write': 10 } as const;

/** Address and kind of an access, C-bit included, as one number below 2^53. */
function keyOf({ address, kind, user, hasCBit }: PhysicalAccess, bit: number): number {
  const marked = address >= bit;
  const frame = (marked ? address - bit : address) / PAGE;
  const variant = kind === 'execute' ? (user ? 2 : 0) : marked || !hasCBit ? 1 : 0;
  return frame * 16 + KINDS[kind] + variant;
}

interface EffectiveAccess extends GuestAccess {
  readonly address: PhysicalAccess;
}

export function createGuestMemory(machine: Machine, core: () => Core): PhysicalMemory {
  const bit = cBit(machine);
  return {
    page(access) {
      const running = core();
      const { guest } = running;
      if (!guest) throw new Error('memory access outside of VMRUN');
      const key = keyOf(access, bit);
      const known = running.nested.get(key);
      if (known) return known;
      const effective = effectiveAccess(access, guest, bit);
      const mapped = nestedWalk(running, guest, effective);
      checkRmp(machine, running, mapped, effective);
      const found = translation(machine, running, guest, mapped, effective);
      running.nested.set(key, found);
      return found;
    },
  };
}

/**
 * The C-bit that counts. Fetches and page-table accesses are private whatever the entry says, and so is everything
 * while page tables have no place for the bit.
 */
function effectiveAccess(access: PhysicalAccess, guest: RunningGuest, bit: number): EffectiveAccess {
  const { address, kind, user, hasCBit } = access;
  const marked = address >= bit;
  const walk = kind === 'walk' || kind === 'walk-write';
  const encrypted = marked || walk || kind === 'execute' || !hasCBit;
  return {
    asid: guest.asid,
    vmpl: guest.vmpl,
    gpa: gpa(marked ? address - bit : address),
    kind: kind === 'walk' ? 'read' : kind === 'walk-write' ? 'write' : kind,
    user,
    encrypted,
    walk,
    nptPageSize2M: false,
    address: access,
  };
}

/**
 * A walk of the guest's page tables counts as a write, even if it only reads: the processor may have to set A or D. AMD
 * APM volume 2, 15.25.5.
 */
function nestedWalk(core: Core, guest: RunningGuest, access: EffectiveAccess): NptTranslation {
  const mapped = nptLookup(guest.vmcb.nestedPageTable, gfnOf(access.gpa));
  // With a reserved bit the exit is not automatic: the guest gets #VC, and no page is touched.
  if (mapped?.entry.reserved) throw exception(VECTOR.VC, { errorCode: VC_NPF });
  const writes = access.kind === 'write' || access.walk;
  if (mapped && (mapped.entry.writable || !writes)) return mapped;
  throw nestedPageFault(core, access, (mapped ? NPF.P : 0) + npfAccessBits(access));
}

function nestedPageFault(core: Core, access: EffectiveAccess, info1: number, fault?: () => Fault): CpuStop {
  // The trap that comes after an instruction with an exit of its own: the host injects it again.
  if (core.exit?.done) return EXIT_BEFORE;
  const address = BigInt(access.gpa) + offsetOf(access.address);
  core.exit = { code: EXIT.NPF, info1: BigInt(info1), info2: address, ...(fault ? { fault: fault() } : {}) };
  return EXIT_BEFORE;
}

/** EXITINFO2 is the whole address, not that of the page. */
function offsetOf({ linear, offset }: PhysicalAccess): bigint {
  return offset === undefined ? linear & 0xfffn : BigInt(offset);
}

function checkRmp(machine: Machine, core: Core, { pfn, entry }: NptTranslation, access: EffectiveAccess): void {
  const verdict = checkGuestAccess(machine.rmp, pfn, entry.size2M ? { ...access, nptPageSize2M: true } : access);
  if (verdict.ok) return;
  if (verdict.outcome === 'npf') throw nestedPageFault(core, access, verdict.errorCode, verdict.fault);
  const { linear } = access.address;
  throw exception(VECTOR.VC, { errorCode: verdict.errorCode, address: linear, fault: verdict.fault() });
}

function translation(
  machine: Machine,
  core: Core,
  guest: RunningGuest,
  { pfn, entry }: NptTranslation,
  access: EffectiveAccess,
): Translation {
  const { memory } = machine;
  if (pfn * PAGE >= memory.size) {
    const operands = { gpa: hex(gpaOf(gfnOf(access.gpa))), spa: hex(spaOf(pfn)) };
    const stop: CpuStop = { kind: 'stop', reason: 'fault', fault: makeFault(HOST_MEMORY, operands) };
    throw stop;
  }
  const slot = residentSlot(memory, pfn, access.encrypted ? guest.key : 0);
  if (slot === undefined) {
    core.needsRoom = true;
    throw EXIT_BEFORE;
  }
  const write = access.kind === 'write' || mayWriteToo(machine, pfn, entry.size2M, access);
  return { page: slot, writable: entry.writable && write };
}

/** Whether a write would pass as well, so that the TLB need not ask again. */
function mayWriteToo(machine: Machine, pfn: NptTranslation['pfn'], size2M: boolean, access: EffectiveAccess): boolean {
  if (access.kind === 'execute' || access.walk) return false;
  return checkGuestAccess(machine.rmp, pfn, { ...access, kind: 'write', nptPageSize2M: size2M }).ok;
}
