import type { Board } from './board.js';
import { type BoardEnv, NO_ENV } from './board-env.js';
import { MISSING_MMIO, MISSING_PORTS, type MissingDevice } from './missing-devices.js';
import { mmioRangeAt } from './mmio-ranges.js';
import { type PortRange, portRangeAt } from './port-ranges.js';

/** The device that is missing behind an address, if one is. */
export type BusResult = { readonly missing?: MissingDevice };

const FOUND: BusResult = {};

/**
 * One IN: fills `data`, 1, 2 or 4 bytes, little-endian. A port without a device reads as all ones (QEMU
 * unassigned_io_read()).
 */
export function readPort(board: Board, port: number, data: Uint8Array, env: BoardEnv = NO_ENV): BusResult {
  for (let done = 0; done < data.length; ) {
    const at = port + done;
    const range = portRangeAt(board, at);
    const missing = range ? undefined : missingAt(MISSING_PORTS, at);
    if (missing) return { missing };
    const size = pieceSize(range, at, data.length - done);
    const value = range ? range.read(board, at - range.first, size, env) : -1;
    for (let i = 0; i < size; i++) data[done + i] = value >>> (8 * i);
    done += size;
  }
  return FOUND;
}

/** One OUT. A port without a device takes everything. */
export function writePort(board: Board, port: number, data: Uint8Array, env: BoardEnv = NO_ENV): BusResult {
  for (let done = 0; done < data.length; ) {
    const at = port + done;
    const range = portRangeAt(board, at);
    const missing = range ? undefined : missingAt(MISSING_PORTS, at);
    if (missing) return { missing };
    const size = pieceSize(range, at, data.length - done);
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (data[done + i] ?? 0);
    range?.write(board, at - range.first, value, size, env);
    done += size;
  }
  return FOUND;
}

function pieceSize(range: PortRange | undefined, port: number, left: number): number {
  if (!range) return 1;
  const most = Math.min(range.width, range.last - port + 1, left);
  return most === 3 ? 2 : most;
}

/**
 * One access to device memory, 1 to 8 bytes. Where no device is, reads give zeros and writes go nowhere (QEMU
 * unassigned_mem_read()).
 */
export function accessMmio(
  board: Board,
  gpa: number,
  data: Uint8Array,
  isWrite: boolean,
  env: BoardEnv = NO_ENV,
): BusResult {
  const range = mmioRangeAt(board, gpa);
  if (range) {
    if (isWrite) range.write(board, gpa - range.first, data, env);
    else range.read(board, gpa - range.first, data, env);
    return FOUND;
  }
  const missing = missingAt(MISSING_MMIO, gpa);
  if (missing) return { missing };
  if (!isWrite) data.fill(0);
  return FOUND;
}

/** Device memory is at this address. */
export function isDeviceMemory(board: Board | undefined, gpa: number): boolean {
  return (board !== undefined && mmioRangeAt(board, gpa) !== undefined) || missingAt(MISSING_MMIO, gpa) !== undefined;
}

function missingAt(devices: readonly MissingDevice[], address: number): MissingDevice | undefined {
  return devices.find(({ first, last }) => address >= first && address <= last);
}
