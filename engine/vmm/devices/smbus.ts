import type { Board } from './board.js';

/** SMBus host controller of ICH9 with no device on its bus: each transfer ends with "no acknowledge". Intel ICH9 data
 * sheet chapter 20; QEMU hw/i2c/pm_smbus.c. */
export interface Smbus {
  status: number;
  readonly registers: Uint8Array;
}

const STATUS = 0;
const CONTROL = 2;
const START = 0x40;
const DEVICE_ERROR = 4;
const WRITABLE_REGISTERS = [CONTROL, 3, 4, 5, 6, 7];

export function createSmbus(): Smbus {
  return { status: 0, registers: new Uint8Array(0x40) };
}

export const smbusPorts = {
  read({ smbus }: Board, offset: number): number {
    return offset === STATUS ? smbus.status : (smbus.registers[offset] ?? 0);
  },
  write({ smbus }: Board, offset: number, value: number): void {
    if (offset === STATUS) smbus.status &= ~value;
    if (!WRITABLE_REGISTERS.includes(offset)) return;
    smbus.registers[offset] = offset === CONTROL ? value & ~START : value;
    if (offset === CONTROL && (value & START) !== 0) smbus.status |= DEVICE_ERROR;
  },
};
