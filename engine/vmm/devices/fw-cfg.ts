import { view } from '../../bytes.js';
import type { BoardEnv } from './board-env.js';

/** QEMU's firmware configuration device: numbered items, some of them files with names. QEMU docs/specs/fw_cfg.rst,
 * hw/nvram/fw_cfg.c. */
export interface FwCfg {
  readonly items: ReadonlyMap<number, Uint8Array>;
  /** Names of the files, by key; for people. */
  readonly names: ReadonlyMap<number, string>;
  key: number;
  offset: number;
  /** High half of the address of the DMA command. */
  dmaHigh: number;
}

export const FW_CFG = {
  SIGNATURE: 0x00,
  ID: 0x01,
  UUID: 0x02,
  RAM_SIZE: 0x03,
  NOGRAPHIC: 0x04,
  NB_CPUS: 0x05,
  KERNEL_SIZE: 0x08,
  INITRD_SIZE: 0x0b,
  NUMA: 0x0d,
  BOOT_MENU: 0x0e,
  MAX_CPUS: 0x0f,
  KERNEL_DATA: 0x11,
  INITRD_DATA: 0x12,
  CMDLINE_SIZE: 0x14,
  CMDLINE_DATA: 0x15,
  SETUP_SIZE: 0x17,
  SETUP_DATA: 0x18,
  FILE_DIR: 0x19,
  FILE_FIRST: 0x20,
} as const;

const TRADITIONAL = 1;
const DMA = 2;
const DMA_ERROR = 1;
const DMA_READ = 2;
const DMA_SKIP = 4;
const DMA_SELECT = 8;
const DMA_WRITE = 16;
const DIRECTORY_ENTRY = 64;
const NAME = 56;
/** "QEMU CFG", big-endian. */
const DMA_SIGNATURE = [0x51, 0x45, 0x4d, 0x55, 0x20, 0x43, 0x46, 0x47];
const CHUNK = 4096;

/** `files`: by name; their keys are given in the order of the names. */
export function createFwCfg(items: ReadonlyMap<number, Uint8Array>, files: ReadonlyMap<string, Uint8Array>): FwCfg {
  const all = new Map(items);
  const names = new Map<number, string>();
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  const directory = new Uint8Array(4 + sorted.length * DIRECTORY_ENTRY);
  const entries = view(directory);
  entries.setUint32(0, sorted.length);
  sorted.forEach(([name, bytes], i) => {
    const key = FW_CFG.FILE_FIRST + i;
    const at = 4 + i * DIRECTORY_ENTRY;
    entries.setUint32(at, bytes.length);
    entries.setUint16(at + 4, key);
    for (let c = 0; c < Math.min(name.length, NAME - 1); c++) directory[at + 8 + c] = name.charCodeAt(c);
    all.set(key, bytes);
    names.set(key, name);
  });
  all.set(FW_CFG.SIGNATURE, Uint8Array.of(0x51, 0x45, 0x4d, 0x55));
  all.set(FW_CFG.ID, Uint8Array.of(TRADITIONAL | DMA, 0, 0, 0));
  all.set(FW_CFG.FILE_DIR, directory);
  return { items: all, names, key: FW_CFG.SIGNATURE, offset: 0, dmaHigh: 0 };
}

/** Port 0x510, two bytes. */
export function selectFwCfg(state: FwCfg, key: number): void {
  state.key = key;
  state.offset = 0;
}

/** One byte at port 0x511; zeros behind the end of the item, and for an item that does not exist. */
export function readFwCfg(state: FwCfg): number {
  const item = state.items.get(state.key);
  if (!item || state.offset >= item.length) return 0;
  return item[state.offset++] ?? 0;
}

/** One byte of the signature in the DMA register. */
export function readFwCfgDma(offset: number): number {
  return DMA_SIGNATURE[offset] ?? 0;
}

/** Four bytes, big-endian, at port 0x514 or 0x518; the second starts the transfer. */
export function writeFwCfgDma(state: FwCfg, offset: number, value: number, env: BoardEnv): void {
  const swapped = ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
  if (offset === 0) state.dmaHigh = swapped;
  else if (offset === 4) {
    const command = state.dmaHigh * 2 ** 32 + swapped;
    state.dmaHigh = 0;
    transfer(state, command, env);
  }
}

/** fw_cfg_dma_transfer(). */
function transfer(state: FwCfg, at: number, env: BoardEnv): void {
  const bytes = env.readMemory(at, 16);
  if (!bytes) {
    finish(at, DMA_ERROR, env);
    return;
  }
  const command = view(bytes.slice());
  const control = command.getUint32(0);
  const length = command.getUint32(4);
  const address = Number(command.getBigUint64(8));
  if ((control & DMA_SELECT) !== 0) selectFwCfg(state, control >>> 16);
  const item = state.items.get(state.key);
  let ok = true;
  if ((control & DMA_READ) !== 0) ok = readItem(state, item, address, length, env);
  // No item can be written: a write ends with an error, unless nothing is left to write to.
  else if ((control & DMA_WRITE) !== 0) ok = length === 0;
  else if ((control & DMA_SKIP) !== 0 && item) state.offset = Math.min(state.offset + length, item.length);
  finish(at, ok ? 0 : DMA_ERROR, env);
}

function readItem(state: FwCfg, item: Uint8Array | undefined, address: number, length: number, env: BoardEnv): boolean {
  for (let done = 0; done < length; ) {
    const size = Math.min(CHUNK - ((address + done) % CHUNK), length - done);
    const data = new Uint8Array(size);
    const part = item?.subarray(state.offset, state.offset + size);
    if (part) {
      data.set(part);
      state.offset += part.length;
    }
    if (!env.writeMemory(address + done, data)) return false;
    done += size;
  }
  return true;
}

function finish(at: number, control: number, env: BoardEnv): void {
  env.writeMemory(at, Uint8Array.of(0, 0, 0, control));
}
