/** QEMU hw/i386/pc_q35.c: with this much RAM or more, what lies below 4 GiB is cut to 2 GiB. */
const LOWMEM_LIMIT = 0xb000_0000;
const LOWMEM = 0x8000_0000;

/** Bytes of guest memory below 4 GiB; the rest starts at 4 GiB. */
export function lowMemory(memory: number): number {
  return Math.min(memory, memory >= LOWMEM_LIMIT ? LOWMEM : LOWMEM_LIMIT);
}
