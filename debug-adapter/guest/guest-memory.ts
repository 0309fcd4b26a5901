import { type Gfn, type Gpa, gfn, gpa, hex, PAGE_SIZE, type Pfn } from '../../engine/address.js';
import { nptLookup } from '../../engine/cpu/svm/nested-page-table.js';
import { type PageTableMemory, walk } from '../../engine/cpu/system/paging.js';
import { createSystemState } from '../../engine/cpu/system/system-state.js';
import type { Machine } from '../../engine/machine.js';
import { patchPage, plainPage, readPage } from '../../engine/memory/system-memory.js';
import { backingOf, theContext, theVm } from '../variables/machine-state.js';
import { imageField, type VcpuImage } from './vcpu-image.js';

/** A guest physical address with the effective C-bit of an access. */
export interface GuestPhysical {
  readonly gpa: Gpa;
  readonly isPrivate: boolean;
}

export type Looked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string };

const ok = <T>(value: T): Looked<T> => ({ ok: true, value });
const no = (why: string): { readonly ok: false; readonly why: string } => ({ ok: false, why });

/** Where a page of the guest lies, and with which key the guest reads it. */
interface PageLocation {
  readonly frame: Pfn;
  readonly key: number;
}

/**
 * Looks at guest memory as the guest sees it, but changes nothing: no accessed bits, no faults, no exits. A private
 * page is the one of guest_memfd, a shared one what the nested page table maps.
 */
function locate(machine: Machine, { gpa: address, isPrivate }: GuestPhysical): Looked<PageLocation> {
  const frame = gfn(Math.floor(address / PAGE_SIZE));
  if (!isPrivate) return locateShared(machine, frame);
  const backing = backingOf(machine, gpa(frame * PAGE_SIZE));
  if (!backing.found) return no(backing.why);
  return ok({ frame: backing.pfn, key: theContext(machine)?.vek ?? 0 });
}

function locateShared(machine: Machine, frame: Gfn): Looked<PageLocation> {
  const table = theVm(machine)?.nestedPageTable;
  const mapped = table && nptLookup(table, frame);
  if (!mapped || mapped.entry.reserved) return no('no shared page is mapped there yet');
  return ok({ frame: mapped.pfn, key: 0 });
}

/** The 4096 bytes of a page as the guest reads it; live, not to be written to. */
export function guestPage(machine: Machine, at: GuestPhysical): Looked<Uint8Array> {
  const location = locate(machine, at);
  if (!location.ok) return location;
  const { frame, key } = location.value;
  return ok(readPage(machine.memory, frame, key));
}

class Unreadable extends Error {}

/** Walks the guest's page tables as they are. With paging off every address is private. */
export function translate(machine: Machine, image: VcpuImage, linear: bigint): Looked<GuestPhysical> {
  const state = createSystemState();
  state.cr0 = Number(imageField(image, 'cr0'));
  state.cr3 = imageField(image, 'cr3');
  state.cr4 = Number(imageField(image, 'cr4'));
  state.efer = Number(imageField(image, 'efer'));
  const cBit = 2 ** machine.processor.cBit;
  const tables: PageTableMemory = {
    read(address, bytes) {
      const plain = address >= cBit ? address - cBit : address;
      const page = guestPage(machine, { gpa: gpa(plain), isPrivate: true });
      if (!page.ok) throw new Unreadable(`its page table at GPA ${hex(plain)} cannot be read: ${page.why}`);
      const { buffer, byteOffset } = page.value;
      const at = new DataView(buffer, byteOffset + (plain % PAGE_SIZE), bytes);
      return bytes === 8 ? at.getBigUint64(0, true) : BigInt(at.getUint32(0, true));
    },
    // Accessed and dirty bits stay as they are.
    write: () => {},
  };
  const isPaging = (state.cr0 & 0x8000_0000) !== 0;
  const hasCBit = isPaging && (state.cr4 & 0x20) !== 0;
  try {
    const request = { linear, access: 'read', user: false, alignmentCheck: true } as const;
    const { address } = walk(state, tables, request, machine.processor.cBit + 1);
    const isPrivate = !hasCBit || address >= cBit;
    const page = address >= cBit ? address - cBit : address;
    return ok({ gpa: gpa(page + Number(linear & 0xfffn)), isPrivate });
  } catch (thrown) {
    if (thrown instanceof Unreadable) return no(thrown.message);
    return no(`${hex(linear)} is not mapped in the guest's page tables`);
  }
}

/** A contiguous piece of memory in some address space; `page` gets an address, and answers for its whole page. */
export interface AddressSpace {
  readonly size: bigint;
  page(address: bigint): Looked<Uint8Array>;
  /** Writes within one page. */
  write(address: bigint, bytes: Uint8Array): boolean;
}

/** Guest virtual memory of one vCPU. */
export function virtualSpace(machine: Machine, image: VcpuImage): AddressSpace {
  const where = (address: bigint): Looked<GuestPhysical> => translate(machine, image, address);
  return {
    size: 1n << 64n,
    page(address) {
      const at = where(address);
      return at.ok ? guestPage(machine, at.value) : at;
    },
    write(address, bytes) {
      const at = where(address);
      return at.ok && writePhysical(machine, at.value, bytes);
    },
  };
}

/** Guest physical memory, private or shared. */
export function physicalSpace(machine: Machine, isPrivate: boolean): AddressSpace {
  const at = (address: bigint): GuestPhysical => ({ gpa: gpa(Number(address)), isPrivate });
  return {
    size: 1n << 51n,
    page: (address) => guestPage(machine, at(address)),
    write: (address, bytes) => writePhysical(machine, at(address), bytes),
  };
}

/** System memory: ciphertext of private pages for the host's view, contents for the owner's. */
export function systemSpace({ memory }: Machine, view: 'host' | 'plain'): AddressSpace {
  const frameOf = (address: bigint): Pfn => Math.floor(Number(address) / PAGE_SIZE) as Pfn;
  return {
    size: BigInt(memory.size),
    page(address) {
      const frame = frameOf(address);
      return ok(view === 'host' ? readPage(memory, frame) : plainPage(memory, frame).content.bytes);
    },
    write(address, bytes) {
      const frame = frameOf(address);
      const key = view === 'host' ? 0 : plainPage(memory, frame).key;
      patchPage(memory, frame, Number(address % 4096n), bytes, key);
      return true;
    },
  };
}

function writePhysical(machine: Machine, at: GuestPhysical, bytes: Uint8Array): boolean {
  const location = locate(machine, at);
  if (!location.ok) return false;
  patchPage(machine.memory, location.value.frame, at.gpa % PAGE_SIZE, bytes, location.value.key);
  return true;
}

/** As many of `count` bytes as can be read without a gap. */
export function readSpace(space: AddressSpace, start: bigint, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  let done = 0;
  while (done < count) {
    const address = start + BigInt(done);
    if (address < 0n || address >= space.size) break;
    const page = space.page(address);
    if (!page.ok) break;
    const offset = Number(address & 0xfffn);
    const part = page.value.subarray(offset, Math.min(PAGE_SIZE, offset + count - done));
    bytes.set(part, done);
    done += part.length;
  }
  return bytes.subarray(0, done);
}

/** Number of bytes written before the first that could not be. */
export function writeSpace(space: AddressSpace, start: bigint, bytes: Uint8Array): number {
  let done = 0;
  while (done < bytes.length) {
    const address = start + BigInt(done);
    if (address < 0n || address >= space.size) break;
    const room = PAGE_SIZE - Number(address & 0xfffn);
    const part = bytes.subarray(done, done + room);
    if (!space.write(address, part)) break;
    done += part.length;
  }
  return done;
}

/** Little-endian number of up to 8 bytes; undefined if it cannot be read. */
export function readNumber(space: AddressSpace, address: bigint, size: number): bigint | undefined {
  const bytes = readSpace(space, address, size);
  if (bytes.length < size) return undefined;
  let value = 0n;
  for (let n = size - 1; n >= 0; n--) value = (value << 8n) | BigInt(bytes[n] ?? 0);
  return value;
}
