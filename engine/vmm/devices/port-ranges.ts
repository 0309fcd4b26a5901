import { PM_BLOCK, readAcpiPm, writeAcpiPm } from './acpi-pm.js';
import type { Board } from './board.js';
import type { BoardEnv } from './board-env.js';
import { readCmos, writeCmos } from './cmos.js';
import { CPU_HOTPLUG_BLOCK, readCpuHotplug, writeCpuHotplug } from './cpu-hotplug.js';
import { readFwCfg, readFwCfgDma, selectFwCfg, writeFwCfgDma } from './fw-cfg.js';
import { readI8042Data, readI8042Status, writeI8042Command, writeI8042Data } from './i8042.js';
import { barAddress, readPciConfig, writePciConfig } from './pci.js';
import { pmBase, Q35_FUNCTIONS } from './q35.js';
import { readSerial, serialInterrupt, writeSerial } from './serial.js';

/** Ports of a device. Accesses that are wider than `width` bytes arrive in pieces; `size` is what a piece has. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
  readonly width: 1 | 2 | 4;
  read(board: Board, offset: number, size: number, env: BoardEnv): number;
  write(board: Board, offset: number, value: number, size: number, env: BoardEnv): void;
}

const COM1 = 0x3f8;
export const COM1_IRQ = 4;
const DEBUG_CONSOLE = 0x402;
/** What QEMU's debug console answers to a read, so that firmware can find it. */
const DEBUG_CONSOLE_PRESENT = 0xe9;
/** Where the ACPI block is before firmware has placed it: there already, for guests without firmware. */
const PM_DEFAULT = 0x600;
const RESET_CPU = 4;
const CONFIG_ENABLE = 0x8000_0000;
const A20 = 2;

/** Sources: QEMU hw/char/{serial,debugcon}.c, hw/i386/port92.c, hw/isa/{apm,lpc_ich9}.c, hw/pci/pci_host.c. */
const FIXED: readonly PortRange[] = [
  {
    first: 0x60,
    last: 0x60,
    width: 1,
    read: (board, _, __, env) => readI8042Data(board.keyboard, env),
    write(board, _, value, __, env) {
      if (writeI8042Data(board.keyboard, value, env)) board.request = 'reset';
    },
  },
  {
    first: 0x64,
    last: 0x64,
    width: 1,
    read: (board) => readI8042Status(board.keyboard),
    write(board, _, value, __, env) {
      if (writeI8042Command(board.keyboard, value, env)) board.request = 'reset';
    },
  },
  {
    first: 0x70,
    last: 0x71,
    width: 1,
    read: (board, offset, _, env) => readCmos(board.cmos, offset, env),
    write: (board, offset, value, _, env) => writeCmos(board.cmos, offset, value, env),
  },
  {
    first: 0x92,
    last: 0x92,
    width: 1,
    read: (board) => board.fastA20,
    write(board, _, value) {
      if ((value & ~board.fastA20 & 1) !== 0) board.request = 'reset';
      board.fastA20 = value & A20;
    },
  },
  {
    // Without SMM a write to APMC is only kept.
    first: 0xb2,
    last: 0xb3,
    width: 1,
    read: (board, offset) => board.apm[offset] ?? 0,
    write(board, offset, value) {
      board.apm[offset] = value;
    },
  },
  {
    first: COM1,
    last: COM1 + 7,
    width: 1,
    read(board, register, _, env) {
      const value = readSerial(board.serial, register);
      env.setIrq(COM1_IRQ, serialInterrupt(board.serial));
      return value;
    },
    write(board, register, value, _, env) {
      const sent = writeSerial(board.serial, register, value);
      if (sent !== undefined) board.output.serial += String.fromCharCode(sent);
      env.setIrq(COM1_IRQ, serialInterrupt(board.serial));
    },
  },
  {
    first: DEBUG_CONSOLE,
    last: DEBUG_CONSOLE,
    width: 1,
    read: () => DEBUG_CONSOLE_PRESENT,
    write(board, _, value) {
      board.output.debugcon += String.fromCharCode(value);
    },
  },
  {
    first: 0x510,
    last: 0x511,
    width: 2,
    read: (board, offset) => (offset === 1 ? readFwCfg(board.fwCfg) : 0),
    write(board, offset, value, size) {
      if (offset === 0 && size === 2) selectFwCfg(board.fwCfg, value);
    },
  },
  {
    first: 0x514,
    last: 0x51b,
    width: 4,
    read(_, offset, size) {
      let value = 0;
      for (let i = size - 1; i >= 0; i--) value = value * 256 + readFwCfgDma(offset + i);
      return value;
    },
    write(board, offset, value, size, env) {
      if (size === 4) writeFwCfgDma(board.fwCfg, offset, value, env);
    },
  },
  {
    first: 0xcd8,
    last: 0xcd8 + CPU_HOTPLUG_BLOCK - 1,
    width: 4,
    read: (board, offset, size) => readCpuHotplug(board.cpuHotplug, offset, size),
    write: (board, offset, value) => writeCpuHotplug(board.cpuHotplug, offset, value),
  },
  {
    first: 0xcf9,
    last: 0xcf9,
    width: 1,
    read: (board) => board.resetControl,
    write(board, _, value) {
      board.resetControl = value & 2;
      if ((value & RESET_CPU) !== 0) board.request = 'reset';
    },
  },
  {
    first: 0xcf8,
    last: 0xcfb,
    width: 4,
    read: (board, offset, size) => (offset === 0 && size === 4 ? board.pci.address : -1),
    write(board, offset, value, size) {
      if (offset === 0 && size === 4) board.pci.address = value >>> 0;
    },
  },
  {
    first: 0xcfc,
    last: 0xcff,
    width: 4,
    read(board, offset, size) {
      const { address } = board.pci;
      if (address < CONFIG_ENABLE) return -1;
      return configRead(board, (address >>> 8) & 0xffff, (address & 0xfc) + offset, size);
    },
    write(board, offset, value, size) {
      const { address } = board.pci;
      if (address >= CONFIG_ENABLE)
        configWrite(board, (address >>> 8) & 0xffff, (address & 0xfc) + offset, value, size);
    },
  },
];

/** `function`: bus times 256 plus device and function. There is one bus. */
export function configRead(board: Board, functionNumber: number, register: number, size: number): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) {
    value = value * 256 + (functionNumber > 0xff ? 0xff : readPciConfig(board, functionNumber, register + i));
  }
  return value;
}

export function configWrite(board: Board, functionNumber: number, register: number, value: number, size: number): void {
  if (functionNumber > 0xff) return;
  for (let i = 0; i < size; i++) writePciConfig(board, functionNumber, register + i, (value >>> (8 * i)) & 0xff);
}

const FIXED_BY_PORT = new Map<number, PortRange>();
for (const range of FIXED) {
  for (let port = range.first; port <= range.last; port++) if (!FIXED_BY_PORT.has(port)) FIXED_BY_PORT.set(port, range);
}

/** The device at a port: at a fixed one, in the ACPI block, or behind a base address register. */
export function portRangeAt(board: Board, port: number): PortRange | undefined {
  return FIXED_BY_PORT.get(port) ?? movable(board).find(({ first, last }) => port >= first && port <= last);
}

const moved = new WeakMap<Board, { readonly revision: number; readonly ranges: readonly PortRange[] }>();

/** What the registers of PCI functions place; looked up anew when one of them has been written. */
function movable(board: Board): readonly PortRange[] {
  const known = moved.get(board);
  const { revision } = board.pci;
  if (known?.revision === revision) return known.ranges;
  const pm = pmBase(board) ?? PM_DEFAULT;
  const ranges: PortRange[] = [
    {
      first: pm,
      last: pm + PM_BLOCK - 1,
      width: 1,
      read: (b, offset, _, env) => readAcpiPm(b, offset, env),
      write: (b, offset, value) => writeAcpiPm(b, offset, value),
    },
  ];
  for (const { devfn, bars } of Q35_FUNCTIONS) {
    const config = board.pci.functions.get(devfn);
    for (const bar of bars) {
      const first = config && bar.kind === 'io' ? barAddress(config, bar) : undefined;
      if (first !== undefined)
        ranges.push({ first, last: first + bar.size - 1, width: 4, read: bar.read, write: bar.write });
    }
  }
  moved.set(board, { revision, ranges });
  return ranges;
}
