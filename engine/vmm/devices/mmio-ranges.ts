import { view } from '../../bytes.js';
import type { Board } from './board.js';
import type { BoardEnv } from './board-env.js';
import { readHpet, writeHpet } from './hpet.js';
import { barAddress } from './pci.js';
import { configRead, configWrite } from './port-ranges.js';
import { mmConfig, Q35_FUNCTIONS } from './q35.js';

/** Device memory. `data` is 1 to 8 bytes that do not cross a multiple of 8. */
export interface MmioRange {
  readonly first: number;
  readonly last: number;
  read(board: Board, offset: number, data: Uint8Array, env: BoardEnv): void;
  write(board: Board, offset: number, data: Uint8Array, env: BoardEnv): void;
}

const HPET_BASE = 0xfed0_0000;

const HPET: MmioRange = {
  first: HPET_BASE,
  last: HPET_BASE + 0x3ff,
  read(board, offset, data, env) {
    const value = readHpet(board.hpet, offset & ~3, data.length === 8 ? 8 : 4, env) >> BigInt(8 * (offset & 3));
    for (let i = 0; i < data.length; i++) data[i] = Number((value >> BigInt(8 * i)) & 0xffn);
  },
  write(board, offset, data, env) {
    // Registers are written whole or by halves.
    if (data.length === 8) writeHpet(board.hpet, offset, 8, view(data).getBigUint64(0, true), env);
    else if (data.length === 4) writeHpet(board.hpet, offset, 4, BigInt(view(data).getUint32(0, true)), env);
  },
};

const ranges = new WeakMap<Board, { readonly revision: number; readonly ranges: readonly MmioRange[] }>();

/** The device at an address of guest memory: HPET, configuration registers, what a base address register places. */
export function mmioRangeAt(board: Board, address: number): MmioRange | undefined {
  let known = ranges.get(board);
  if (known?.revision !== board.pci.revision) {
    known = { revision: board.pci.revision, ranges: [HPET, ...configWindow(board), ...memoryBars(board)] };
    ranges.set(board, known);
  }
  return known.ranges.find(({ first, last }) => address >= first && address <= last);
}

function configWindow(board: Board): MmioRange[] {
  const window = mmConfig(board);
  if (!window) return [];
  return [
    {
      first: window.base,
      last: window.base + window.size - 1,
      read(b, offset, data) {
        put(data, (at, size) => configRead(b, (offset + at) >>> 12, (offset + at) & 0xfff, size));
      },
      write(b, offset, data) {
        take(data, (at, value, size) => configWrite(b, (offset + at) >>> 12, (offset + at) & 0xfff, value, size));
      },
    },
  ];
}

function memoryBars(board: Board): MmioRange[] {
  const found: MmioRange[] = [];
  for (const { devfn, bars } of Q35_FUNCTIONS) {
    const config = board.pci.functions.get(devfn);
    for (const bar of bars) {
      const first = config && bar.kind === 'memory' ? barAddress(config, bar) : undefined;
      if (first === undefined) continue;
      found.push({
        first,
        last: first + bar.size - 1,
        read: (b, offset, data, env) => put(data, (at, size) => bar.read(b, offset + at, size, env)),
        write: (b, offset, data, env) => take(data, (at, value, size) => bar.write(b, offset + at, value, size, env)),
      });
    }
  }
  return found;
}

/** Fills `data` in pieces of at most 4 bytes. */
function put(data: Uint8Array, read: (at: number, size: number) => number): void {
  for (let at = 0; at < data.length; at += 4) {
    const size = Math.min(4, data.length - at);
    const value = read(at, size);
    for (let i = 0; i < size; i++) data[at + i] = value >>> (8 * i);
  }
}

function take(data: Uint8Array, write: (at: number, value: number, size: number) => void): void {
  for (let at = 0; at < data.length; at += 4) {
    const size = Math.min(4, data.length - at);
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (data[at + i] ?? 0);
    write(at, value, size);
  }
}
