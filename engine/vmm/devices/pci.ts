import type { Board } from './board.js';
import type { BoardEnv } from './board-env.js';

/** A region of ports or device memory that a base address register places. */
export interface PciBar {
  /** 0 to 5. */
  readonly index: number;
  readonly kind: 'io' | 'memory';
  /** Bytes, a power of two. */
  readonly size: number;
  read(board: Board, offset: number, size: number, env: BoardEnv): number;
  write(board: Board, offset: number, value: number, size: number, env: BoardEnv): void;
}

/** What a function of the bus is; its registers are {@link PciConfig}. */
export interface PciFunction {
  readonly name: string;
  /** Device number times 8, plus function number; all functions are on bus 0. */
  readonly devfn: number;
  readonly bars: readonly PciBar[];
  /** Values after reset. */
  readonly reset: (config: PciConfig) => void;
}

/** The 4 KiB of configuration registers of a function; what lies above 256 bytes reads as zeros. */
export interface PciConfig {
  readonly bytes: Uint8Array;
  /** Bits that the guest can write. */
  readonly writable: Uint8Array;
  /** Bits that the guest clears by writing 1. */
  readonly clearable: Uint8Array;
}

const SIZE = 256;
export const PCI_COMMAND = 0x04;
const PCI_COMMAND_IO = 1;
const PCI_COMMAND_MEMORY = 2;
const PCI_STATUS = 0x06;
const PCI_CACHE_LINE_SIZE = 0x0c;
const PCI_BASE_ADDRESS = 0x10;
const PCI_SUBSYSTEM = 0x2c;
const PCI_INTERRUPT_LINE = 0x3c;

/** Registers after reset, and which bits of them can be written. QEMU hw/pci/pci.c pci_init_wmask(), do_pci_register_device(). */
export function createPciConfig({ bars, reset }: PciFunction): PciConfig {
  const config = { bytes: new Uint8Array(SIZE), writable: new Uint8Array(SIZE), clearable: new Uint8Array(SIZE) };
  // I/O, memory, bus master, parity, SERR#, INTx disable.
  setConfig(config.writable, PCI_COMMAND, 2, 0x0547);
  setConfig(config.clearable, PCI_STATUS, 2, 0xf900);
  config.writable[PCI_CACHE_LINE_SIZE] = 0xff;
  config.writable[PCI_INTERRUPT_LINE] = 0xff;
  for (const { index, kind, size } of bars) {
    const at = PCI_BASE_ADDRESS + 4 * index;
    setConfig(config.writable, at, 4, ~(size - 1));
    if (kind === 'io') setConfig(config.bytes, at, 4, 1);
  }
  // Red Hat, as all devices of QEMU without an identity of their own.
  setConfig(config.bytes, PCI_SUBSYSTEM, 4, 0x1100_1af4);
  reset(config);
  return config;
}

/** Little-endian. */
export function setConfig(bytes: Uint8Array, at: number, size: number, value: number): void {
  for (let i = 0; i < size; i++) bytes[at + i] = value >> (8 * i);
}

export function getConfig(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

/** Identity of a function: vendor and device, class with interface, revision. */
export function identify({ bytes }: PciConfig, id: number, classCode: number, revision: number): void {
  setConfig(bytes, 0, 4, id);
  setConfig(bytes, 8, 4, ((classCode << 8) | revision) >>> 0);
}

/** The address that a base address register has and decodes; undefined if it is switched off. */
export function barAddress({ bytes }: PciConfig, { index, kind, size }: PciBar): number | undefined {
  const enable = kind === 'io' ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
  if (((bytes[PCI_COMMAND] ?? 0) & enable) === 0) return undefined;
  const raw = getConfig(bytes, PCI_BASE_ADDRESS + 4 * index, 4);
  const address = raw - (raw % size);
  // QEMU pci_bar_address(): neither 0 nor the value with which the size is asked for is an address.
  if (address === 0 || address + size > (kind === 'io' ? 0x1_0000 : 0xffff_f000)) return undefined;
  return address;
}

/** One access to configuration registers: `address` is bus, device, function and register as in CONFIG_ADDRESS. */
export function readPciConfig(board: Board, devfn: number, register: number): number {
  const config = board.pci.functions.get(devfn);
  if (!config) return 0xff;
  return config.bytes[register] ?? 0;
}

export function writePciConfig(board: Board, devfn: number, register: number, value: number): void {
  const config = board.pci.functions.get(devfn);
  if (!config || register >= SIZE) return;
  const { bytes, writable, clearable } = config;
  const mask = writable[register] ?? 0;
  const old = bytes[register] ?? 0;
  bytes[register] = ((old & ~mask) | (value & mask)) & ~(value & (clearable[register] ?? 0));
  board.pci.revision++;
}
