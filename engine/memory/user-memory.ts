import { type Hva, hva, PAGE_SIZE } from '../address.js';
import { filePage, type PageBytes } from './page-bytes.js';

/** The VMM's address space, as far as ioctls read from it and write to it. */
export interface UserMemory {
  readonly mappings: UserMapping[];
  next: Hva;
}

export interface UserMapping {
  readonly start: Hva;
  readonly label: string;
  /** Replaced by a copy at the first write, because files are shared. */
  bytes: Uint8Array;
  writable: boolean;
  copied: boolean;
}

export function createUserMemory(): UserMemory {
  return { mappings: [], next: hva(0x7f00_0000_0000) };
}

/** Maps bytes at the next free, page-aligned address. */
export function mapUser(user: UserMemory, label: string, bytes: Uint8Array, writable = true): Hva {
  const start = user.next;
  user.mappings.push({ start, label, bytes, writable, copied: false });
  user.next = hva(start + Math.ceil((bytes.length + 1) / PAGE_SIZE) * PAGE_SIZE + PAGE_SIZE);
  return start;
}

function find(user: UserMemory, address: number, length: number): UserMapping | undefined {
  return user.mappings.find((m) => address >= m.start && address + length <= m.start + m.bytes.length);
}

/** copy_from_user: undefined means the access faults. */
export function readUser(user: UserMemory, address: number, length: number): Uint8Array | undefined {
  const mapping = find(user, address, length);
  return mapping?.bytes.subarray(address - mapping.start, address - mapping.start + length);
}

/** One page at `address`; shares the file's page object where it can, so that its digest is remembered. */
export function readUserPage(user: UserMemory, address: number): PageBytes | undefined {
  const mapping = find(user, address, PAGE_SIZE);
  if (!mapping) return undefined;
  const offset = address - mapping.start;
  if (!mapping.copied && offset % PAGE_SIZE === 0) return filePage(mapping.bytes, offset / PAGE_SIZE);
  return { bytes: mapping.bytes.slice(offset, offset + PAGE_SIZE), frozen: false };
}

/** copy_to_user: false means the access faults. */
export function writeUser(user: UserMemory, address: number, data: Uint8Array): boolean {
  const mapping = find(user, address, data.length);
  if (!mapping?.writable) return false;
  if (!mapping.copied) {
    mapping.bytes = mapping.bytes.slice();
    mapping.copied = true;
  }
  mapping.bytes.set(data, address - mapping.start);
  return true;
}
