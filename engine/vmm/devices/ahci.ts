import type { Board } from './board.js';

/**
 * AHCI controller with six ports and no disk: the registers that a driver looks at to find that out, and those it sets
 * up before. Sources: Serial ATA AHCI 1.3.1; QEMU hw/ide/ahci.c.
 */
export interface Ahci {
  globalControl: number;
  readonly ports: { readonly registers: Uint32Array }[];
  /** Index and data registers: the same registers through ports. */
  index: number;
}

const PORTS = 6;
const ENABLE = 0x8000_0000;
const RESET = 1;
/** 64-bit addresses, AHCI only, command list override, 32 slots, 6 ports, Gen1 speed, NCQ. */
const CAPABILITIES = 0xc010_0000 | (31 << 8) | (PORTS - 1) | (1 << 18) | (1 << 24);
const VERSION = 0x1_0000;
const PORT_REGISTERS = 0x100;
const PORT_SIZE = 0x80;

const PXCMD = 0x18 / 4;
const PXTFD = 0x20 / 4;
const PXSIG = 0x24 / 4;
const PXSCTL = 0x2c / 4;
const START = 1;
const RECEIVE = 0x10;
const RECEIVE_RUNNING = 0x4000;
const LIST_RUNNING = 0x8000;

export function createAhci(): Ahci {
  return { globalControl: ENABLE, ports: Array.from({ length: PORTS }, newPort), index: 0 };
}

function newPort(): { registers: Uint32Array } {
  const registers = new Uint32Array(PORT_SIZE / 4);
  // Spun up, powered on; no device: status and signature as after a reset.
  registers[PXCMD] = 6;
  registers[PXTFD] = 0x7f;
  registers[PXSIG] = 0xffff_ffff;
  return { registers };
}

function readRegister(ahci: Ahci, at: number): number {
  if (at >= PORT_REGISTERS) {
    const port = ahci.ports[Math.floor((at - PORT_REGISTERS) / PORT_SIZE)];
    return port?.registers[((at - PORT_REGISTERS) % PORT_SIZE) >> 2] ?? 0;
  }
  switch (at & ~3) {
    case 0x00:
      return CAPABILITIES >>> 0;
    case 0x04:
      return ahci.globalControl >>> 0;
    case 0x0c:
      return (1 << PORTS) - 1;
    case 0x10:
      return VERSION;
    default:
      return 0;
  }
}

function writeRegister(ahci: Ahci, at: number, value: number): void {
  if (at >= PORT_REGISTERS) {
    const port = ahci.ports[Math.floor((at - PORT_REGISTERS) / PORT_SIZE)];
    if (port) writePort(port.registers, ((at - PORT_REGISTERS) % PORT_SIZE) >> 2, value >>> 0);
  } else if ((at & ~3) === 4) {
    if ((value & RESET) !== 0) Object.assign(ahci, createAhci(), { index: ahci.index });
    else ahci.globalControl = ((value & 3) | ENABLE) >>> 0;
  }
}

function writePort(registers: Uint32Array, index: number, value: number): void {
  switch (index) {
    case 0:
    case 2:
      registers[index] = value & ~0x3ff;
      if (index === 2) registers[index] = value & ~0xff;
      break;
    case 1:
    case 3:
    case 5:
      registers[index] = value;
      break;
    case PXCMD: {
      const running = ((value & START) !== 0 ? LIST_RUNNING : 0) | ((value & RECEIVE) !== 0 ? RECEIVE_RUNNING : 0);
      registers[PXCMD] = (value & ~(LIST_RUNNING | RECEIVE_RUNNING | 8)) | running;
      break;
    }
    case PXSCTL:
      registers[PXSCTL] = value;
      break;
    default:
      // Interrupt status and errors are cleared by ones and never set; the others are read-only.
      break;
  }
}

/** BAR 5. Narrow reads give their part of the register. */
export const ahciRegisters = {
  read({ ahci }: Board, offset: number): number {
    return readRegister(ahci, offset) >>> (8 * (offset & 3));
  },
  write({ ahci }: Board, offset: number, value: number): void {
    if (offset % 4 === 0) writeRegister(ahci, offset, value);
  },
};

const INDEX = 0x10;
const DATA = 0x14;

/** BAR 4: index and data. */
export const ahciPorts = {
  read({ ahci }: Board, offset: number): number {
    if (offset === INDEX) return ahci.index;
    return offset === DATA ? readRegister(ahci, ahci.index) : 0;
  },
  write({ ahci }: Board, offset: number, value: number): void {
    if (offset === INDEX) ahci.index = value & 0xffc;
    else if (offset === DATA) writeRegister(ahci, ahci.index, value);
  },
};
