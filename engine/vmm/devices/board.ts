import { createSerialPort, readSerial, type SerialPort, writeSerial } from './serial.js';

/** The devices of the machine, as plain state. */
export interface Board {
  readonly serial: SerialPort;
  /** PM1a_CNT of the ACPI block. */
  pm1Control: number;
  /** RST_CNT at 0xCF9. */
  resetControl: number;
  /** What the guest asked for with a device; the VMM looks at it after each access. */
  request?: 'power-off' | 'reset';
  /** Output that has not been reported yet. */
  readonly output: { serial: string; debugcon: string };
}

export function createBoard(): Board {
  return { serial: createSerialPort(), pm1Control: 0, resetControl: 0, output: { serial: '', debugcon: '' } };
}

/** Ports of a device. Accesses that are wider than `width` bytes arrive in pieces. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
  readonly width: 1 | 2 | 4;
  read(board: Board, offset: number): number;
  write(board: Board, offset: number, value: number): void;
}

const COM1 = 0x3f8;
const DEBUG_CONSOLE = 0x402;
/** What QEMU's debug console answers to a read, so that firmware can find it. */
const DEBUG_CONSOLE_PRESENT = 0xe9;
const KEYBOARD_DATA = 0x60;
const KEYBOARD_COMMAND = 0x64;
/** Keyboard controller: not locked, last write was a command. */
const KEYBOARD_STATUS = 0x18;
/** Commands 0xF0 to 0xFF pulse output lines; bit 0, when clear, is the reset line. */
const KEYBOARD_PULSE = 0xf0;
/** Where OVMF and SeaBIOS put the ACPI block of q35; here it is there from the beginning. */
const PM1A_CONTROL = 0x604;
const SLEEP_ENABLE = 1 << 13;
const RESET_CONTROL = 0xcf9;
const RESET_CPU = 4;

/** Sources: QEMU hw/char/serial.c, hw/char/debugcon.c, hw/acpi/core.c, hw/isa/lpc_ich9.c, hw/input/pckbd.c. */
export const PORT_RANGES: readonly PortRange[] = [
  {
    first: COM1,
    last: COM1 + 7,
    width: 1,
    read: (board, register) => readSerial(board.serial, register),
    write(board, register, value) {
      const sent = writeSerial(board.serial, register, value);
      if (sent !== undefined) board.output.serial += String.fromCharCode(sent);
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
    first: PM1A_CONTROL,
    last: PM1A_CONTROL + 1,
    width: 2,
    read: (board, offset) => board.pm1Control >> (8 * offset),
    write(board, offset, value) {
      if (offset !== 0) return;
      board.pm1Control = value & ~SLEEP_ENABLE;
      // Type 0 is S5. S3 and S4 are not offered.
      if ((value & SLEEP_ENABLE) !== 0 && ((value >> 10) & 7) === 0) board.request = 'power-off';
    },
  },
  {
    first: RESET_CONTROL,
    last: RESET_CONTROL,
    width: 1,
    read: (board) => board.resetControl,
    write(board, _, value) {
      board.resetControl = value & 2;
      if ((value & RESET_CPU) !== 0) board.request = 'reset';
    },
  },
  {
    // No keyboard: only the reset line of the controller.
    first: KEYBOARD_COMMAND,
    last: KEYBOARD_COMMAND,
    width: 1,
    read: () => KEYBOARD_STATUS,
    write(board, _, value) {
      if ((value & KEYBOARD_PULSE) === KEYBOARD_PULSE && (value & 1) === 0) board.request = 'reset';
    },
  },
  { first: KEYBOARD_DATA, last: KEYBOARD_DATA, width: 1, read: () => 0, write: () => undefined },
];

/** Devices of the board that are not emulated yet: an access ends the run instead of giving a wrong answer. */
export interface MissingDevice {
  readonly name: string;
  readonly first: number;
  readonly last: number;
}

export const MISSING_PORTS: readonly MissingDevice[] = [
  { name: 'the interrupt controllers (8259)', first: 0x20, last: 0x21 },
  { name: 'the interval timer (8254)', first: 0x40, last: 0x43 },
  { name: 'the real-time clock', first: 0x70, last: 0x71 },
  { name: 'the interrupt controllers (8259)', first: 0xa0, last: 0xa1 },
  { name: 'fw_cfg', first: 0x510, last: 0x51b },
  { name: 'the ACPI timer', first: 0x608, last: 0x60b },
  { name: 'the PCI configuration space', first: 0xcf8, last: 0xcf8 },
  { name: 'the PCI configuration space', first: 0xcfc, last: 0xcff },
];

/** Device memory of the q35 machine. Not RAM, and not backed by guest_memfd. */
export const MISSING_MMIO: readonly MissingDevice[] = [
  { name: 'the I/O APIC', first: 0xfec0_0000, last: 0xfec0_0fff },
  { name: 'the HPET', first: 0xfed0_0000, last: 0xfed0_03ff },
  { name: 'the local APIC', first: 0xfee0_0000, last: 0xfeef_ffff },
];
