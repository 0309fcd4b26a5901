import { type Board, MISSING_MMIO, MISSING_PORTS, type MissingDevice, PORT_RANGES, type PortRange } from './board.js';

/** The device that is missing behind an address, if one is. */
export type BusResult = { readonly missing?: MissingDevice };

const FOUND: BusResult = {};

/**
 * One IN: fills `data`, 1, 2 or 4 bytes, little-endian. A port without a device reads as all ones (QEMU
 * unassigned_io_read()).
 */
export function readPort(board: Board, port: number, data: Uint8Array): BusResult {
  const missing = missingAt(MISSING_PORTS, port);
  if (missing) return { missing };
  for (let done = 0; done < data.length; ) {
    const range = rangeAt(port + done);
    const size = pieceSize(range, port + done, data.length - done);
    const value = range ? range.read(board, port + done - range.first) : -1;
    for (let i = 0; i < size; i++) data[done + i] = value >> (8 * i);
    done += size;
  }
  return FOUND;
}

/** One OUT. A port without a device takes everything. */
export function writePort(board: Board, port: number, data: Uint8Array): BusResult {
  const missing = missingAt(MISSING_PORTS, port);
  if (missing) return { missing };
  for (let done = 0; done < data.length; ) {
    const range = rangeAt(port + done);
    const size = pieceSize(range, port + done, data.length - done);
    let value = 0;
    for (let i = 0; i < size; i++) value |= (data[done + i] ?? 0) << (8 * i);
    range?.write(board, port + done - range.first, value >>> 0);
    done += size;
  }
  return FOUND;
}

function rangeAt(port: number): PortRange | undefined {
  return PORT_RANGES.find(({ first, last }) => port >= first && port <= last);
}

function pieceSize(range: PortRange | undefined, port: number, left: number): number {
  return range ? Math.min(range.width, range.last - port + 1, left) : 1;
}

/**
 * One access to device memory. Where no device is, reads give zeros and writes go nowhere (QEMU
 * unassigned_mem_read()).
 */
export function accessMmio(gpa: number, data: Uint8Array, isWrite: boolean): BusResult {
  const missing = missingAt(MISSING_MMIO, gpa);
  if (missing) return { missing };
  if (!isWrite) data.fill(0);
  return FOUND;
}

/** Device memory is at this address. */
export function isDeviceMemory(gpa: number): boolean {
  return missingAt(MISSING_MMIO, gpa) !== undefined;
}

function missingAt(devices: readonly MissingDevice[], address: number): MissingDevice | undefined {
  return devices.find(({ first, last }) => address >= first && address <= last);
}
