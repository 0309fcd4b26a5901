import { hex, PAGE_SIZE } from '../../address.js';
import { copyBytes } from '../../bytes.js';
import { defineFault, type FaultDefinition, type Operands } from '../../fault.js';
import { errno } from '../../spec/errno.js';
import { GHCB_SHARED_BUFFER, GHCB_SHARED_BUFFER_END } from '../../spec/ghcb-layout.js';
import type { Op } from '../../timeline/event.js';
import { kvmReadGuest, kvmWriteGuest } from '../mmu/kvm-read-guest.js';
import type { ExitHandling } from '../run/kvm-exit.js';
import { reason } from './ghcb-faults.js';
import { badInput, failRun, kernelLog, type Vmgexit } from './vmgexit.js';

const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c setup_vmgexit_scratch()';
/** GHCB_SCRATCH_AREA_LIMIT. */
const LIMIT = 16 * PAGE_SIZE;

export const SCRATCH_ZERO = defineFault({
  check: 'kvm-ghcb-scratch-zero',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('INVALID_SCRATCH_AREA'),
  title: 'No scratch area',
  message: () => 'SW_SCRATCH (offset 0x3A8) is 0.',
  why: 'Events that carry more data than the registers have room for put it into a scratch area, and SW_SCRATCH has its guest physical address. KVM takes 0 for "not given", even though the valid bit is set.',
  hint: 'Put the data into the shared buffer of the GHCB and pass the GPA of the GHCB + 0x800.',
  reference: REFERENCE,
  confirmed: true,
});

export const SCRATCH_WRAPS = defineFault<{ address: string; length: string }>({
  check: 'kvm-ghcb-scratch-wraps',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('INVALID_SCRATCH_AREA'),
  title: 'Scratch area wraps around',
  message: (o) => `A scratch area of ${o.length} bytes at ${o.address} goes beyond the end of the address space.`,
  why: 'The length comes from SW_EXITINFO2, so a wrong operand shows here.',
  hint: 'Check SW_EXITINFO2 and SW_SCRATCH.',
  reference: REFERENCE,
  confirmed: true,
});

export const SCRATCH_OUTSIDE = defineFault<{ address: string; end: string; begin: string; limit: string }>({
  check: 'kvm-ghcb-scratch-outside',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('INVALID_SCRATCH_AREA'),
  title: 'Scratch area outside of the shared buffer',
  message: (o) =>
    `The scratch area ${o.address} to ${o.end} begins in the GHCB page but does not lie in its shared buffer, ${o.begin} to ${o.limit}.`,
  why: 'The rest of the page belongs to the protocol: data there would overwrite registers or the valid bitmap. The shared buffer has 2032 bytes, from offset 0x800 to 0xFEF.',
  hint: 'Begin at the GPA of the GHCB + 0x800, and split what is longer than 2032 bytes.',
  reference: REFERENCE,
  confirmed: true,
});

export const SCRATCH_TOO_LONG = defineFault<{ length: string; limit: string }>({
  check: 'kvm-ghcb-scratch-too-long',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('INVALID_SCRATCH_AREA'),
  title: 'Scratch area too long',
  message: (o) => `The scratch area has ${o.length} bytes; outside of the GHCB KVM copies at most ${o.limit}.`,
  why: 'KVM keeps a copy of a scratch area outside of the GHCB in kernel memory, and limits it to 16 pages. Version 2 of the protocol wants the area in the shared buffer anyway.',
  hint: 'Split the request, and use the shared buffer of the GHCB.',
  reference: REFERENCE,
  confirmed: true,
});

export const SCRATCH_READ = defineFault<{ address: string; length: string }>({
  check: 'kvm-ghcb-scratch-read',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: errno('EFAULT'),
  title: 'Scratch area not readable',
  message: (o) => `KVM cannot read the scratch area of ${o.length} bytes at ${o.address}: no guest memory is there.`,
  why: 'An address outside of the memory slots is no answerable mistake for KVM: KVM_RUN fails with EFAULT, which ends the guest.',
  hint: 'Use the shared buffer of the GHCB: its GPA + 0x800.',
  reference: REFERENCE,
  confirmed: true,
});

/**
 * setup_vmgexit_scratch(): checks the area of `length` bytes at SW_SCRATCH. Undefined: it can be used now through
 * {@link readScratch} and {@link writeScratch}. `sync`: what is written to it has to reach the guest.
 */
export function* setupVmgexitScratch(v: Vmgexit, sync: boolean, length: bigint): Op<ExitHandling | undefined> {
  const address = v.exit.scratch;
  const end = address + length;
  if (address === 0n) return yield* refuse(v, 'scratch gpa not provided', SCRATCH_ZERO, {});
  if (end >= 1n << 64n) {
    const text = `scratch length (${hex(length)}) not valid for scratch address (${hex(address)})`;
    return yield* refuse(v, text, SCRATCH_WRAPS, { address: hex(address), length: hex(length) });
  }
  if (address - (address % 4096n) === BigInt(v.exit.gpa)) {
    const begin = BigInt(v.exit.gpa + GHCB_SHARED_BUFFER);
    const limit = BigInt(v.exit.gpa + GHCB_SHARED_BUFFER_END);
    if (address < begin || end > limit) {
      const text = `scratch area is outside of GHCB shared buffer area (${hex(address)} - ${hex(end)})`;
      const range = { address: hex(address), end: hex(end), begin: hex(begin), limit: hex(limit) };
      return yield* refuse(v, text, SCRATCH_OUTSIDE, range);
    }
    v.map.scratch = { gpa: Number(address), length: Number(length), sync };
    return undefined;
  }
  if (length > BigInt(LIMIT)) {
    const text = `scratch area exceeds KVM limits (${hex(length)} requested, ${hex(LIMIT)} limit)`;
    return yield* refuse(v, text, SCRATCH_TOO_LONG, { length: hex(length), limit: hex(LIMIT) });
  }
  const copy = kvmReadGuest(v.machine, v.vm, Number(address), Number(length));
  if (!copy) {
    yield* kernelLog(v.machine, 'vmgexit: kvm_read_guest for scratch area failed');
    return failRun(SCRATCH_READ, { address: hex(address), length: hex(length) });
  }
  v.map.scratch = { gpa: Number(address), copy, length: Number(length), sync };
  return undefined;
}

function* refuse<O extends Operands>(
  v: Vmgexit,
  text: string,
  definition: FaultDefinition<O>,
  operands: O,
): Op<ExitHandling> {
  yield* kernelLog(v.machine, `vmgexit: ${text}`);
  return badInput(v, definition, operands);
}

/** Bytes of the scratch area; undefined beyond the copy, or beyond the page of the GHCB. */
export function readScratch({ machine, vm, map }: Vmgexit, offset: number, length: number): Uint8Array | undefined {
  const { scratch } = map;
  if (!scratch) throw new Error('no scratch area');
  if (scratch.copy) {
    return offset + length <= scratch.copy.length ? copyBytes(scratch.copy, offset, offset + length) : undefined;
  }
  if (scratch.gpa + offset + length > map.gpa + PAGE_SIZE) return undefined;
  return kvmReadGuest(machine, vm, scratch.gpa + offset, length);
}

/** False where {@link readScratch} gives nothing. */
export function writeScratch({ machine, vm, map }: Vmgexit, offset: number, data: Uint8Array): boolean {
  const { scratch } = map;
  if (!scratch) throw new Error('no scratch area');
  if (scratch.copy) {
    if (offset + data.length > scratch.copy.length) return false;
    scratch.copy.set(data, offset);
    return true;
  }
  if (scratch.gpa + offset + data.length > map.gpa + PAGE_SIZE) return false;
  return kvmWriteGuest(machine, vm, scratch.gpa + offset, data);
}
