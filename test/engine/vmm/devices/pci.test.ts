import assert from 'node:assert/strict';
import { type Board, createBoard } from '../../../../engine/vmm/devices/board.js';
import { accessMmio, isDeviceMemory, readPort, writePort } from '../../../../engine/vmm/devices/io-bus.js';

function out(board: Board, port: number, value: number, size = 4): void {
  const data = new Uint8Array(size);
  for (let i = 0; i < size; i++) data[i] = value >>> (8 * i);
  writePort(board, port, data);
}

function inp(board: Board, port: number, size = 4): number {
  const data = new Uint8Array(size);
  readPort(board, port, data);
  return data.reduceRight((value, byte) => value * 256 + byte, 0);
}

const at = (device: number, fn: number, register: number): number =>
  (0x8000_0000 | (device << 11) | (fn << 8) | register) >>> 0;

function config(board: Board, device: number, fn: number, register: number, size = 4): number {
  out(board, 0xcf8, at(device, fn, register & ~3));
  return inp(board, 0xcfc + (register & 3), size);
}

function setConfig(board: Board, device: number, fn: number, register: number, value: number, size = 4): void {
  out(board, 0xcf8, at(device, fn, register & ~3));
  out(board, 0xcfc + (register & 3), value, size);
}

/** As `qemu-system-x86_64 -machine q35 -nodefaults` answers through CF8 and CFC. */
const QEMU: readonly [device: number, fn: number, register: number, value: number][] = [
  [0x00, 0, 0x00, 0x29c0_8086],
  [0x00, 0, 0x04, 0x0000_0000],
  [0x00, 0, 0x08, 0x0600_0000],
  [0x00, 0, 0x2c, 0x1100_1af4],
  [0x00, 0, 0x50, 0x0000_0010],
  [0x00, 0, 0x60, 0xb000_0000],
  [0x00, 0, 0x9c, 0x0038_0200],
  [0x1f, 0, 0x00, 0x2918_8086],
  [0x1f, 0, 0x08, 0x0601_0002],
  [0x1f, 0, 0x0c, 0x0080_0000],
  [0x1f, 0, 0x40, 0x0000_0001],
  [0x1f, 0, 0x60, 0x8080_8080],
  [0x1f, 0, 0x68, 0x8080_8080],
  [0x1f, 2, 0x00, 0x2922_8086],
  [0x1f, 2, 0x04, 0x0010_0000],
  [0x1f, 2, 0x08, 0x0106_0102],
  [0x1f, 2, 0x20, 0x0000_0001],
  [0x1f, 2, 0x34, 0x0000_0080],
  [0x1f, 2, 0x3c, 0x0000_0100],
  [0x1f, 2, 0x80, 0x0080_a805],
  [0x1f, 2, 0xa8, 0x0010_0012],
  [0x1f, 2, 0xac, 0x0000_0048],
  [0x1f, 3, 0x00, 0x2930_8086],
  [0x1f, 3, 0x08, 0x0c05_0002],
  [0x1f, 1, 0x00, 0xffff_ffff],
  [0x02, 0, 0x00, 0xffff_ffff],
];

describe('PCI configuration space', () => {
  it('has the functions of q35 with their values after reset', () => {
    const board = createBoard();
    const found = QEMU.map(([device, fn, register]) => [device, fn, register, config(board, device, fn, register)]);
    assert.deepEqual(found, QEMU);
  });

  it('reads bytes and words of a register', () => {
    const board = createBoard();
    assert.deepEqual([config(board, 0, 0, 2, 2), config(board, 0, 0, 1, 1)], [0x29c0, 0x80]);
  });

  it('answers all ones without the enable bit, and on other buses', () => {
    const board = createBoard();
    out(board, 0xcf8, 0);
    assert.equal(inp(board, 0xcfc), 0xffff_ffff);
    out(board, 0xcf8, 0x8001_0000);
    assert.equal(inp(board, 0xcfc), 0xffff_ffff);
  });

  it('takes the address only as a whole', () => {
    const board = createBoard();
    out(board, 0xcf8, at(0x1f, 0, 0));
    out(board, 0xcf8, 0, 1);
    assert.equal(inp(board, 0xcf8), at(0x1f, 0, 0));
  });

  it('keeps identity and clears status bits that are written as ones', () => {
    const board = createBoard();
    setConfig(board, 0, 0, 0, 0);
    assert.equal(config(board, 0, 0, 0), 0x29c0_8086);
    setConfig(board, 0x1f, 2, 6, 0xffff, 2);
    assert.equal(config(board, 0x1f, 2, 6, 2), 0x0010);
  });

  it('tells the size of a base address, and decodes it when it is switched on', () => {
    const board = createBoard();
    setConfig(board, 0x1f, 2, 0x24, 0xffff_ffff);
    assert.equal(config(board, 0x1f, 2, 0x24), 0xffff_f000);
    setConfig(board, 0x1f, 2, 0x20, 0xffff_ffff);
    assert.equal(config(board, 0x1f, 2, 0x20), 0xffff_ffe1);
    setConfig(board, 0x1f, 2, 0x24, 0xc000_0000);
    assert.equal(isDeviceMemory(board, 0xc000_0000), false);
    setConfig(board, 0x1f, 2, 4, 2, 2);
    assert.equal(isDeviceMemory(board, 0xc000_0fff), true);
    const data = new Uint8Array(4);
    accessMmio(board, 0xc000_000c, data, false);
    assert.deepEqual([...data], [0x3f, 0, 0, 0]);
    // No disk: PxSSTS of port 0 is 0, its signature all ones.
    accessMmio(board, 0xc000_0128, data, false);
    assert.deepEqual([...data], [0, 0, 0, 0]);
    accessMmio(board, 0xc000_0124, data, false);
    assert.deepEqual([...data], [255, 255, 255, 255]);
  });

  it('shows the same registers through MMCONFIG', () => {
    const board = createBoard();
    assert.equal(isDeviceMemory(board, 0xe000_0000), false);
    setConfig(board, 0, 0, 0x60, 0xe000_0001);
    const data = new Uint8Array(4);
    for (const [device, fn, register, value] of QEMU.slice(6)) {
      accessMmio(board, 0xe000_0000 + (device << 15) + (fn << 12) + register, data, false);
      const read = data.reduceRight((sum, byte) => sum * 256 + byte, 0);
      if (register !== 0x60 || device !== 0) assert.equal(read, value, `${device}.${fn} ${register}`);
    }
    accessMmio(board, 0xe00f_803c, Uint8Array.of(0x0b), true);
    assert.equal(config(board, 0x1f, 0, 0x3c, 1), 0x0b);
    accessMmio(board, 0xe010_0000, data, false);
    assert.deepEqual([...data], [255, 255, 255, 255]);
  });

  it('moves the ACPI block with PMBASE', () => {
    const board = createBoard();
    setConfig(board, 0x1f, 0, 0x40, 0xb000);
    setConfig(board, 0x1f, 0, 0x44, 0x80, 1);
    out(board, 0xb002, 0x0120, 2);
    assert.deepEqual([inp(board, 0xb002, 2), inp(board, 0x602, 2), inp(board, 0xb004, 2)], [0x0120, 0xffff, 1]);
  });
});
