import { view } from '../../bytes.js';

/** Structs of the memory ioctls. Linux include/uapi/linux/kvm.h. Their 64-bit fields come out as bigints. */

/** `struct kvm_create_guest_memfd`, 64 bytes. `size` is signed for the kernel (loff_t). */
export interface CreateGuestMemfd<N extends number | bigint = bigint> {
  readonly size: N;
  readonly flags: bigint;
}

export const CREATE_GUEST_MEMFD_SIZE = 64;

export function encodeCreateGuestMemfd(arg: CreateGuestMemfd<number | bigint>): Uint8Array {
  const bytes = new Uint8Array(CREATE_GUEST_MEMFD_SIZE);
  const v = view(bytes);
  v.setBigInt64(0, BigInt(arg.size), true);
  v.setBigUint64(8, arg.flags, true);
  return bytes;
}

export function decodeCreateGuestMemfd(bytes: Uint8Array): CreateGuestMemfd {
  const v = view(bytes);
  return { size: v.getBigInt64(0, true), flags: v.getBigUint64(8, true) };
}

export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_MEM_READONLY = 2;
export const KVM_MEM_GUEST_MEMFD = 4;

/** `struct kvm_userspace_memory_region2`, 160 bytes. */
export interface UserspaceMemoryRegion2<N extends number | bigint = bigint> {
  /** Bits 15:0 id, 31:16 address space. */
  readonly slot: number;
  readonly flags: number;
  readonly guestPhysAddr: N;
  readonly memorySize: N;
  readonly userspaceAddr: N;
  readonly guestMemfdOffset: N;
  readonly guestMemfd: number;
}

export const USERSPACE_MEMORY_REGION2_SIZE = 160;

export function encodeMemoryRegion2(region: UserspaceMemoryRegion2<number | bigint>): Uint8Array {
  const bytes = new Uint8Array(USERSPACE_MEMORY_REGION2_SIZE);
  const v = view(bytes);
  v.setUint32(0, region.slot, true);
  v.setUint32(4, region.flags, true);
  v.setBigUint64(8, BigInt(region.guestPhysAddr), true);
  v.setBigUint64(16, BigInt(region.memorySize), true);
  v.setBigUint64(24, BigInt(region.userspaceAddr), true);
  v.setBigUint64(32, BigInt(region.guestMemfdOffset), true);
  v.setUint32(40, region.guestMemfd, true);
  return bytes;
}

export function decodeMemoryRegion2(bytes: Uint8Array): UserspaceMemoryRegion2 {
  const v = view(bytes);
  return {
    slot: v.getUint32(0, true),
    flags: v.getUint32(4, true),
    guestPhysAddr: v.getBigUint64(8, true),
    memorySize: v.getBigUint64(16, true),
    userspaceAddr: v.getBigUint64(24, true),
    guestMemfdOffset: v.getBigUint64(32, true),
    guestMemfd: v.getUint32(40, true),
  };
}

export const KVM_MEMORY_ATTRIBUTE_PRIVATE = 8n;

/** `struct kvm_memory_attributes`, 32 bytes. */
export interface MemoryAttributes<N extends number | bigint = bigint> {
  readonly address: N;
  readonly size: N;
  readonly attributes: bigint;
  readonly flags: bigint;
}

export const MEMORY_ATTRIBUTES_SIZE = 32;

export function encodeMemoryAttributes(arg: MemoryAttributes<number | bigint>): Uint8Array {
  const bytes = new Uint8Array(MEMORY_ATTRIBUTES_SIZE);
  const v = view(bytes);
  v.setBigUint64(0, BigInt(arg.address), true);
  v.setBigUint64(8, BigInt(arg.size), true);
  v.setBigUint64(16, arg.attributes, true);
  v.setBigUint64(24, arg.flags, true);
  return bytes;
}

export function decodeMemoryAttributes(bytes: Uint8Array): MemoryAttributes {
  const v = view(bytes);
  return {
    address: v.getBigUint64(0, true),
    size: v.getBigUint64(8, true),
    attributes: v.getBigUint64(16, true),
    flags: v.getBigUint64(24, true),
  };
}
