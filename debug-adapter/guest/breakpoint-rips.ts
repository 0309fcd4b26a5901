import type { Machine } from '../../engine/machine.js';
import { codeBase, vcpuCount, vcpuImage } from './vcpu-image.js';

const MIB = 1n << 20n;
const RESET_SEGMENT = 0xffff_0000n;

/**
 * The processor looks for breakpoints by RIP, which is an offset in the code segment; people give linear addresses.
 * All RIPs under which a vCPU may come to such an address; whether it is the right place is seen when it stops.
 */
export function breakpointRips(machine: Machine, addresses: Iterable<bigint>): ReadonlySet<bigint> {
  const bases = new Set<bigint>();
  for (let index = 0; index < vcpuCount(machine); index++) {
    const image = vcpuImage(machine, index);
    if (image) bases.add(codeBase(image));
  }
  const rips = new Set<bigint>();
  for (const address of addresses) {
    rips.add(address);
    for (const base of bases) if (base <= address) rips.add(address - base);
    // Where real-mode code can lie: its segments change without notice.
    if (address < MIB || (address >= RESET_SEGMENT && address <= 0xffff_ffffn)) {
      rips.add(address & 0xffffn);
      rips.add(address & 0xfffn);
    }
  }
  return rips;
}
