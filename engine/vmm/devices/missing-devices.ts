/** Devices of the board that are not emulated yet: an access ends the run instead of giving a wrong answer. */
export interface MissingDevice {
  readonly name: string;
  readonly first: number;
  readonly last: number;
}

export const MISSING_PORTS: readonly MissingDevice[] = [
  { name: 'the DMA controllers (8237)', first: 0x00, last: 0x0f },
  { name: 'the interrupt controllers (8259)', first: 0x20, last: 0x21 },
  { name: 'the interval timer (8254)', first: 0x40, last: 0x43 },
  { name: 'the interrupt controllers (8259)', first: 0xa0, last: 0xa1 },
  { name: 'the DMA controllers (8237)', first: 0xc0, last: 0xdf },
];

/** Device memory of the q35 machine. Not RAM, and not backed by guest_memfd. */
export const MISSING_MMIO: readonly MissingDevice[] = [
  { name: 'the I/O APIC', first: 0xfec0_0000, last: 0xfec0_0fff },
  { name: 'the local APIC', first: 0xfee0_0000, last: 0xfeef_ffff },
];
