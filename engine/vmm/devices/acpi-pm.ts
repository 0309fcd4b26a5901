import type { Board } from './board.js';
import type { BoardEnv } from './board-env.js';

/** ACPI fixed hardware and general purpose events of ICH9. Sources: ACPI 6.4 chapter 4; QEMU hw/acpi/{core,ich9}.c. */
export interface AcpiPm {
  status: number;
  enable: number;
  control: number;
  /** GPE0: 8 bytes of status, 8 bytes of enable. */
  readonly gpe: Uint8Array;
  smiEnable: number;
}

/** Bytes of the block behind PMBASE. */
export const PM_BLOCK = 0x80;
const SCI_ENABLE = 1;
const SLEEP_ENABLE = 1 << 13;
const TIMER = 8;
const PM_FREQUENCY = 3_579_545;
const GPE0 = 0x20;
const SMI_ENABLE = 0x30;

export function createAcpiPm(): AcpiPm {
  // A machine without SMM is in ACPI mode from the beginning.
  return { status: 0, enable: 0, control: SCI_ENABLE, gpe: new Uint8Array(16), smiEnable: 0 };
}

/** The free-running timer, 24 bits. */
export function pmTimer(now: number): number {
  // Split, so that the product stays exact.
  const seconds = Math.floor(now / 1e9);
  const ticks = seconds * PM_FREQUENCY + Math.floor(((now % 1e9) * PM_FREQUENCY) / 1e9);
  return ticks % 0x100_0000;
}

/** One byte. */
export function readAcpiPm({ pm }: Board, offset: number, env: BoardEnv): number {
  if (offset < 2) return pm.status >> (8 * offset);
  if (offset < 4) return pm.enable >> (8 * (offset - 2));
  if (offset < 6) return pm.control >> (8 * (offset - 4));
  if (offset >= TIMER && offset < TIMER + 4) return pmTimer(env.now()) >> (8 * (offset - TIMER));
  if (offset >= GPE0 && offset < GPE0 + 16) return pm.gpe[offset - GPE0] ?? 0;
  if (offset >= SMI_ENABLE && offset < SMI_ENABLE + 4) return pm.smiEnable >> (8 * (offset - SMI_ENABLE));
  return 0;
}

/** One byte. */
export function writeAcpiPm(board: Board, offset: number, value: number): void {
  const { pm } = board;
  if (offset < 2) pm.status &= ~(value << (8 * offset));
  else if (offset < 4) pm.enable = withByte(pm.enable, offset - 2, value);
  else if (offset < 6) writeControl(board, withByte(pm.control, offset - 4, value));
  else if (offset >= GPE0 && offset < GPE0 + 8) pm.gpe[offset - GPE0] = (pm.gpe[offset - GPE0] ?? 0) & ~value;
  else if (offset >= GPE0 + 8 && offset < GPE0 + 16) pm.gpe[offset - GPE0] = value;
  else if (offset >= SMI_ENABLE && offset < SMI_ENABLE + 4) {
    pm.smiEnable = withByte(pm.smiEnable, offset - SMI_ENABLE, value);
  }
}

function withByte(word: number, index: number, value: number): number {
  return (word & ~(0xff << (8 * index))) | (value << (8 * index));
}

function writeControl(board: Board, value: number): void {
  board.pm.control = (value & ~SLEEP_ENABLE) | SCI_ENABLE;
  // Type 0 is S5. S3 and S4 are not offered.
  if ((value & SLEEP_ENABLE) !== 0 && ((value >> 10) & 7) === 0) board.request = 'power-off';
}
