import { type Hva, hva, PAGE_SIZE } from '../address.js';
import { copyBytes } from '../bytes.js';
import { filePage, type PageBytes, ZERO_PAGE } from './page-bytes.js';

/**
 * The VMM's address space, as far as ioctls read from it and write to it. The newest mapping stands last and hides
 * what it overlaps. The first one, the VMM's stack, is looked at before all others, because every ioctl needs it;
 * a mapping that hides it takes its place.
 */
export interface UserMemory {
  readonly mappings: UserMapping[];
  next: Hva;
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
}

export function createUserMemory(): UserMemory {
  return { mappings: [], next: hva(0x7f00_0000_0000) };
}

/** Maps bytes at the next free, page-aligned address. */
export function mapUser(user: UserMemory, label: string, bytes: Uint8Array, writable = true): Hva {
  const start = reserveUser(user, bytes.length);
  user.mappings.push({ start, label, bytes, writable, copied: false });
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
  const [first] = user.mappings;
  const hidesFirst = first !== undefined && start < endOf(first) && first.start < start + length;
  if (hidesFirst) user.mappings.unshift(mapping);
  else user.mappings.push(mapping);
}

function find(user: UserMemory, address: number, length: number): UserMapping | undefined {
  const { mappings } = user;
  const [stack] = mappings;
  if (stack && holds(stack, address, length)) return stack;
  for (let i = mappings.length - 1; i > 0; i--) {
    const mapping = mappings[i];
    if (mapping && holds(mapping, address, length)) return mapping;
  }
  return undefined;
}

function holds(mapping: UserMapping, address: number, length: number): boolean {
  return address >= mapping.start && address + length <= endOf(mapping);
}

function endOf({ start, bytes, length }: UserMapping): number {
  return start + (length ?? bytes.length);
}

/** copy_from_user: undefined means the access faults. */
export function readUser(user: UserMemory, address: number, length: number): Uint8Array | undefined {
  const mapping = find(user, address, length);
  return mapping && slice(mapping, address - mapping.start, length);
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
  const mapping = find(user, address, PAGE_SIZE);
  if (!mapping) return undefined;
  const offset = address - mapping.start;
  if (!mapping.copied && offset % PAGE_SIZE === 0) {
    return offset < mapping.bytes.length ? filePage(mapping.bytes, offset / PAGE_SIZE) : ZERO_PAGE;
  }
  return { bytes: copyBytes(slice(mapping, offset, PAGE_SIZE)), frozen: false };
}

/** copy_to_user: false means the access faults. */
export function writeUser(user: UserMemory, address: number, data: Uint8Array): boolean {
  const mapping = find(user, address, data.length);
  if (!mapping?.writable) return false;
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
