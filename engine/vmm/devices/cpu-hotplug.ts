/**
 * CPU hot-plug registers at 0xCD8. Writing 0 to the first byte leaves the legacy interface, a bitmap of the processors.
 * Sources: QEMU docs/specs/acpi_cpu_hotplug.rst, hw/acpi/{cpu,cpu_hotplug}.c.
 */
export interface CpuHotplug {
  readonly vcpus: number;
  modern: boolean;
  selector: number;
  command: number;
}

export const CPU_HOTPLUG_BLOCK = 12;
const STATUS = 4;
const COMMAND = 5;
const DATA = 8;
const NEXT_WITH_EVENT = 0;
const GET_ID = 3;
const ENABLED = 1;

export function createCpuHotplug(vcpus: number): CpuHotplug {
  return { vcpus, modern: false, selector: 0, command: 0xff };
}

/** `size` bytes at `offset`. */
export function readCpuHotplug(state: CpuHotplug, offset: number, size: number): number {
  const { vcpus, modern, selector, command } = state;
  if (!modern) {
    let bits = 0;
    for (let i = 8 * size - 1; i >= 0; i--) bits = bits * 2 + (8 * offset + i < vcpus ? 1 : 0);
    return bits;
  }
  if (selector >= vcpus) return 0;
  if (offset === STATUS) return ENABLED;
  // Nothing is ever plugged in: the search ends where it began. The ids of the processors are their numbers.
  if (offset === DATA && (command === NEXT_WITH_EVENT || command === GET_ID)) return selector;
  return 0;
}

export function writeCpuHotplug(state: CpuHotplug, offset: number, value: number): void {
  if (!state.modern) {
    if (offset === 0 && (value & 0xff) === 0) state.modern = true;
    else return;
  }
  if (offset === 0) state.selector = value >>> 0;
  else if (offset === COMMAND && state.selector < state.vcpus) state.command = value & 0xff;
}
