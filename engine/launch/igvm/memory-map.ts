import { view } from '../../bytes.js';
import { lowMemory } from '../q35-memory.js';

/** Size of an entry of the memory map: {u64 page, u64 pages, u16 type, u16 flags, u32 reserved}. */
export const MEMORY_MAP_ENTRY_SIZE = 24;
const TYPE = { MEMORY: 0, PLATFORM_RESERVED: 1 } as const;
const PAGE = 4096n;
const FOUR_GIB = 0x1_0000_0000;
/** Where QEMU keeps the identity map page and the TSS of KVM. target/i386/kvm/kvm.c kvm_arch_init(). */
const KVM_RESERVED = { start: 0xfeff_c000, size: 0x4000 } as const;

/**
 * The guest's memory map as QEMU's e820 table has it, sorted by address. QEMU backends/igvm.c
 * qigvm_directive_memory_map(); hw/i386/pc.c pc_memory_init().
 */
export function encodeMemoryMap(memory: number): Uint8Array {
  const below = lowMemory(memory);
  const entries = [
    { start: 0, size: below, type: TYPE.MEMORY },
    { start: KVM_RESERVED.start, size: KVM_RESERVED.size, type: TYPE.PLATFORM_RESERVED },
    ...(memory > below ? [{ start: FOUR_GIB, size: memory - below, type: TYPE.MEMORY }] : []),
  ];
  const bytes = new Uint8Array(entries.length * MEMORY_MAP_ENTRY_SIZE);
  const v = view(bytes);
  entries.forEach(({ start, size, type }, i) => {
    const at = i * MEMORY_MAP_ENTRY_SIZE;
    v.setBigUint64(at, BigInt(start) / PAGE, true);
    v.setBigUint64(at + 8, BigInt(size) / PAGE, true);
    v.setUint16(at + 16, type, true);
  });
  return bytes;
}
