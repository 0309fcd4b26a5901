import assert from 'node:assert/strict';
import { createBoard } from '../../../../engine/vmm/devices/board.js';
import { accessMmio, isDeviceMemory, readPort, writePort } from '../../../../engine/vmm/devices/io-bus.js';

function read(port: number, size: number, board = createBoard()): number[] {
  const data = new Uint8Array(size);
  assert.deepEqual(readPort(board, port, data), {});
  return [...data];
}

describe('I/O bus', () => {
  it('reads all ones where no device is, and takes every write', () => {
    const board = createBoard();
    assert.deepEqual(read(0x2f8, 4, board), [0xff, 0xff, 0xff, 0xff]);
    assert.deepEqual(writePort(board, 0x2f8, Uint8Array.of(1, 2)), {});
    assert.deepEqual(board, createBoard());
  });

  it('cuts an access that is wider than the device', () => {
    const board = createBoard();
    // Scratch register of the serial port, then the ports behind it.
    writePort(board, 0x3ff, Uint8Array.of(0x5a, 0xff));
    assert.deepEqual(read(0x3fe, 4, board), [0xb0, 0x5a, 0xff, 0xff]);
  });

  it('keeps a 16-bit register together, also when it is read by bytes', () => {
    const board = createBoard();
    writePort(board, 0x604, Uint8Array.of(0x01, 0x1c));
    assert.deepEqual([read(0x604, 2, board), read(0x605, 1, board)], [[0x01, 0x1c], [0x1c]]);
    assert.equal(board.request, undefined);
  });

  it('powers off only with SLP_EN and type 0', () => {
    const board = createBoard();
    writePort(board, 0x604, Uint8Array.of(0, 0x24));
    assert.equal(board.request, undefined);
    writePort(board, 0x604, Uint8Array.of(0, 0x20));
    assert.deepEqual([board.request, board.pm.control], ['power-off', 1]);
  });

  it('resets only with the right bits', () => {
    const board = createBoard();
    writePort(board, 0xcf9, Uint8Array.of(2));
    writePort(board, 0x64, Uint8Array.of(0xd1));
    writePort(board, 0x64, Uint8Array.of(0xff));
    assert.deepEqual([board.request, read(0xcf9, 1, board)], [undefined, [2]]);
    writePort(board, 0xcf9, Uint8Array.of(4));
    assert.equal(board.request, 'reset');
  });

  it('names the device that is missing', () => {
    const board = createBoard();
    assert.equal(readPort(board, 0x00, new Uint8Array(1)).missing?.name, 'the DMA controllers (8237)');
    assert.equal(accessMmio(board, 0xfec0_0010, new Uint8Array(4), false).missing?.name, 'the I/O APIC');
    assert.deepEqual([isDeviceMemory(board, 0xfeef_ffff), isDeviceMemory(board, 0xfef0_0000)], [true, false]);
  });

  it('reads zeros where no device memory is', () => {
    const data = Uint8Array.of(1, 2, 3, 4);
    assert.deepEqual(accessMmio(createBoard(), 0xfe00_0000, data, false), {});
    assert.deepEqual([...data], [0, 0, 0, 0]);
  });

  it('keeps what firmware writes to port 0x92 and the APM ports', () => {
    const board = createBoard();
    writePort(board, 0x92, Uint8Array.of(2));
    writePort(board, 0xb2, Uint8Array.of(0x12, 0x34));
    assert.deepEqual([read(0x92, 1, board), read(0xb2, 2, board), board.request], [[2], [0x12, 0x34], undefined]);
    writePort(board, 0x92, Uint8Array.of(3));
    assert.equal(board.request, 'reset');
  });
});
