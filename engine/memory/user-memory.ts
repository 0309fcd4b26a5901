import { type Hva, hva, PAGE_SIZE, type Pfn } from '../address.js';
import { copyBytes } from '../bytes.js';
import { isHypervisorOwned } from '../rmp/hypervisor-owned.js';
import type { Rmp } from '../rmp/table.js';
import { filePage, type PageBytes, ZERO_PAGE } from './page-bytes.js';
import { allocPage, freePage, patchPage, readPage, type SystemMemory, writePage } from './system-memory.js';

/**
 * The VMM's address space, as far as ioctls and the devices read from it and write to it. The newest mapping stands
 * last and hides what it overlaps.
 */
export interface UserMemory {
  readonly mappings: UserMapping[];
  /** The first mapping, unless it is hidden. It is looked at before all others, because every ioctl needs it. */
  stack?: UserMapping;
  next: Hva;
  /** Pages that have a frame of system memory, by page number: their content is there. */
  readonly frames: Map<number, Pfn>;
  /** Page numbers whose content was thrown away: they read as zeros. */
  readonly discarded: Set<number>;
  /** Where frames come from; set with the first anonymous mapping or frame. */
  backing?: Backing;
}

/** The part of the machine that user pages need. */
export interface Backing {
  readonly memory: SystemMemory;
  readonly rmp: Rmp;
}

export interface UserMapping {
  readonly start: Hva;
  readonly label: string;
  /** Replaced by a copy at the first write, because files are shared. */
  bytes: Uint8Array;
  /** Bytes mapped, if more than `bytes`: the rest reads as zero. */
  readonly length?: number;
  writable: boolean;
  copied: boolean;
  /** Anonymous memory: a page that is written to gets a frame of system memory. */
  readonly anonymous?: boolean;
}

const NO_BYTES = new Uint8Array();

export function createUserMemory(): UserMemory {
  return { mappings: [], next: hva(0x7f00_0000_0000), frames: new Map(), discarded: new Set() };
}

/** Maps bytes at the next free, page-aligned address. */
export function mapUser(user: UserMemory, label: string, bytes: Uint8Array, writable = true): Hva {
  const start = reserveUser(user, bytes.length);
  const mapping = { start, label, bytes, writable, copied: false };
  if (user.mappings.length === 0) user.stack = mapping;
  user.mappings.push(mapping);
  return start;
}

/** Takes `length` bytes of address space; nothing is mapped there yet. */
export function reserveUser(user: UserMemory, length: number): Hva {
  const start = user.next;
  user.next = hva(start + Math.ceil((length + 1) / PAGE_SIZE) * PAGE_SIZE + PAGE_SIZE);
  return start;
}

/** Maps `length` bytes at a reserved address: `bytes`, then zeros. Hides what was mapped there before. */
export function mapUserAt(user: UserMemory, start: Hva, label: string, bytes: Uint8Array, length: number): void {
  const mapping = { start, label, bytes, length, writable: true, copied: false };
  if (user.frames.size > 0 || user.discarded.size > 0) {
    for (let page = pageOf(start); page <= pageOf(start + length - 1); page++) dropPage(user, page);
  }
  const { stack } = user;
  if (stack && start < endOf(stack) && stack.start < start + length) user.stack = undefined;
  user.mappings.push(mapping);
}

/** Anonymous memory, as a VMM has it for the guest's RAM: zeros, and a frame for each page that is used. */
export function mapAnonymous(user: UserMemory, backing: Backing, label: string, length: number): Hva {
  const start = reserveUser(user, length);
  user.backing ??= backing;
  user.mappings.push({ start, label, bytes: NO_BYTES, length, writable: true, copied: false, anonymous: true });
  return start;
}

function dropPage(user: UserMemory, page: number): void {
  const frame = user.frames.get(page);
  if (frame !== undefined && user.backing) freePage(user.backing.memory, frame);
  user.frames.delete(page);
  user.discarded.delete(page);
}

/**
 * madvise(MADV_DONTNEED) of whole pages: frames are given back, and the range reads as zeros. The caller has taken
 * the pages out of the nested page table.
 */
export function discardUser(user: UserMemory, start: Hva, length: number): void {
  const end = pageOf(start + length);
  if (length > user.frames.size * PAGE_SIZE) {
    for (const page of [...user.frames.keys()]) if (page >= pageOf(start) && page < end) dropPage(user, page);
  } else for (let page = pageOf(start); page < end; page++) dropPage(user, page);
  // A newer mapping shows what was copied into the memory before the launch: that content goes, too.
  for (const mapping of user.mappings) {
    if (mapping.anonymous || endOf(mapping) <= start || mapping.start >= start + length) continue;
    const first = Math.max(pageOf(mapping.start), pageOf(start));
    const last = Math.min(pageOf(endOf(mapping) - 1), end - 1);
    for (let page = first; page <= last; page++) user.discarded.add(page);
  }
}

/**
 * get_user_pages(): the frame of system memory behind a page, with the page's content; it is allocated on first use.
 * Undefined: nothing is mapped there, or the host is out of memory.
 */
export function userPageFrame(user: UserMemory, backing: Backing, address: Hva): Pfn | undefined {
  const page = pageOf(address);
  const known = user.frames.get(page);
  if (known !== undefined) return known;
  const start = hva(page * PAGE_SIZE);
  const content = readUserPage(user, start) ?? pieces(user, start);
  if (!content) return undefined;
  user.backing ??= backing;
  const frame = allocPage(backing.memory, 'memory of the VMM');
  if (frame === undefined) return undefined;
  writePage(backing.memory, frame, content);
  user.frames.set(page, frame);
  user.discarded.delete(page);
  return frame;
}

/** A page of which only a part is mapped, as the end of a mapping of odd length is: the rest is zero. */
function pieces(user: UserMemory, start: Hva): PageBytes | undefined {
  const bytes = new Uint8Array(PAGE_SIZE);
  let found = false;
  for (const mapping of user.mappings) {
    const from = Math.max(mapping.start, start);
    const to = Math.min(endOf(mapping), start + PAGE_SIZE);
    if (from >= to) continue;
    found = true;
    bytes.set(slice(mapping, from - mapping.start, to - from), from - start);
  }
  return found ? { bytes, frozen: false } : undefined;
}

function pageOf(address: number): number {
  return Math.floor(address / PAGE_SIZE);
}

/** The newest mapping of the first byte; undefined if it does not hold the range, or a newer one hides part of it. */
function find(user: UserMemory, address: number, length: number): UserMapping | undefined {
  const { mappings, stack } = user;
  if (stack && holds(stack, address, length)) return stack;
  for (let i = mappings.length - 1; i >= 0; i--) {
    const mapping = mappings[i];
    if (!mapping || address + length <= mapping.start || address >= endOf(mapping)) continue;
    return holds(mapping, address, length) ? mapping : undefined;
  }
  return undefined;
}

function holds(mapping: UserMapping, address: number, length: number): boolean {
  return address >= mapping.start && address + length <= endOf(mapping);
}

function endOf({ start, bytes, length }: UserMapping): number {
  return start + (length ?? bytes.length);
}

/** All pages of the range show what their mapping has. */
function isPlain(user: UserMemory, address: number, length: number): boolean {
  if (user.frames.size === 0 && user.discarded.size === 0) return true;
  for (let page = pageOf(address); page <= pageOf(address + Math.max(length, 1) - 1); page++) {
    if (user.frames.has(page) || user.discarded.has(page)) return false;
  }
  return true;
}

/** copy_from_user: undefined means the access faults. */
export function readUser(user: UserMemory, address: number, length: number): Uint8Array | undefined {
  const mapping = find(user, address, length);
  if (mapping && isPlain(user, address, length)) return slice(mapping, address - mapping.start, length);
  if (length === 0) return mapping && NO_BYTES;
  const out = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const at = address + done;
    const step = Math.min(PAGE_SIZE - (at % PAGE_SIZE), length - done);
    const part = readPart(user, at, step);
    if (!part) return undefined;
    out.set(part, done);
    done += step;
  }
  return out;
}

/** A range inside one page. */
function readPart(user: UserMemory, address: number, length: number): Uint8Array | undefined {
  const frame = user.frames.get(pageOf(address));
  if (frame !== undefined && user.backing) {
    const offset = address % PAGE_SIZE;
    return readPage(user.backing.memory, frame).subarray(offset, offset + length);
  }
  if (user.discarded.has(pageOf(address))) return new Uint8Array(length);
  const mapping = find(user, address, length);
  if (mapping) return slice(mapping, address - mapping.start, length);
  // Two mappings share the page, or the range is not mapped to its end.
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const one = find(user, address + i, 1);
    if (!one) return undefined;
    bytes[i] = one.bytes[address + i - one.start] ?? 0;
  }
  return bytes;
}

function slice({ bytes }: UserMapping, offset: number, length: number): Uint8Array {
  const part = bytes.subarray(offset, offset + length);
  if (part.length === length) return part;
  const padded = new Uint8Array(length);
  padded.set(part);
  return padded;
}

/** One page at `address`; shares the file's page object where it can, so that its digest is remembered. */
export function readUserPage(user: UserMemory, address: number): PageBytes | undefined {
  const mapping = isPlain(user, address, PAGE_SIZE) ? find(user, address, PAGE_SIZE) : undefined;
  if (!mapping) {
    const bytes = readUser(user, address, PAGE_SIZE);
    return bytes && { bytes: copyBytes(bytes), frozen: false };
  }
  const offset = address - mapping.start;
  if (!mapping.copied && offset % PAGE_SIZE === 0) {
    return offset < mapping.bytes.length ? filePage(mapping.bytes, offset / PAGE_SIZE) : ZERO_PAGE;
  }
  return { bytes: copyBytes(slice(mapping, offset, PAGE_SIZE)), frozen: false };
}

/** copy_to_user: false means the access faults. */
export function writeUser(user: UserMemory, address: number, data: Uint8Array): boolean {
  const whole = find(user, address, data.length);
  if (whole && !whole.anonymous && isPlain(user, address, data.length)) return writeMapping(whole, address, data);
  for (let done = 0; done < data.length; ) {
    const at = address + done;
    const step = Math.min(PAGE_SIZE - (at % PAGE_SIZE), data.length - done);
    if (!writePart(user, at, data.subarray(done, done + step))) return false;
    done += step;
  }
  return data.length > 0 || whole !== undefined;
}

function writePart(user: UserMemory, address: number, data: Uint8Array): boolean {
  const page = pageOf(address);
  const mapping = find(user, address, data.length);
  if (mapping && !mapping.writable) return false;
  if (mapping && !mapping.anonymous && isPlain(user, address, data.length)) return writeMapping(mapping, address, data);
  const { backing } = user;
  if (!backing || (!mapping && !readPart(user, address, data.length))) return false;
  const frame = user.frames.get(page) ?? userPageFrame(user, backing, hva(page * PAGE_SIZE));
  // #PF with the RMP bit: the page is somebody's. The kernel finds no way to repair it and the copy fails.
  if (frame === undefined || !isHypervisorOwned(backing.rmp, frame, false)) return false;
  patchPage(backing.memory, frame, address % PAGE_SIZE, data);
  return true;
}

function writeMapping(mapping: UserMapping, address: number, data: Uint8Array): boolean {
  if (!mapping.writable) return false;
  const offset = address - mapping.start;
  if (!mapping.copied || offset + data.length > mapping.bytes.length) {
    const copy = new Uint8Array(Math.max(mapping.bytes.length, offset + data.length));
    copy.set(mapping.bytes);
    mapping.bytes = copy;
    mapping.copied = true;
  }
  mapping.bytes.set(data, offset);
  return true;
}
