import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createBoard } from '../../../../engine/vmm/devices/board.js';
import { type BoardEnv, NO_ENV } from '../../../../engine/vmm/devices/board-env.js';
import { createFwCfg } from '../../../../engine/vmm/devices/fw-cfg.js';
import { readPort, writePort } from '../../../../engine/vmm/devices/io-bus.js';

const ITEM = 0x40;

function setUp(item: Uint8Array) {
  const memory = new Uint8Array(0x4000);
  const env: BoardEnv = {
    ...NO_ENV,
    readMemory: (gpa, length) => (gpa + length <= memory.length ? memory.slice(gpa, gpa + length) : undefined),
    writeMemory(gpa, data) {
      if (gpa + data.length > memory.length) return false;
      memory.set(data, gpa);
      return true;
    },
  };
  const board = { ...createBoard(), fwCfg: createFwCfg(new Map([[ITEM, item]]), new Map()) };
  const dma = (control: number, length: number, address: number): number => {
    const command = new DataView(memory.buffer, 0x100, 16);
    command.setUint32(0, control);
    command.setUint32(4, length);
    command.setBigUint64(8, BigInt(address));
    writePort(board, 0x514, Uint8Array.of(0, 0, 0, 0), env);
    writePort(board, 0x518, Uint8Array.of(0, 0, 1, 0), env);
    return command.getUint32(0);
  };
  return { memory, board, dma };
}

function read(board: ReturnType<typeof createBoard>, key: number, length: number): Uint8Array {
  writePort(board, 0x510, Uint8Array.of(key, key >> 8));
  return Uint8Array.from({ length }, () => {
    const data = new Uint8Array(1);
    readPort(board, 0x511, data);
    return data[0] ?? 0;
  });
}

describe('fw_cfg', () => {
  it('has signature, features and counts', () => {
    const board = createBoard({ vcpus: 3, memory: { below: 0x8000_0000, above: 0x1000_0000 } });
    assert.equal(Buffer.from(read(board, 0, 4)).toString(), 'QEMU');
    assert.deepEqual([...read(board, 1, 4)], [3, 0, 0, 0]);
    assert.deepEqual([...read(board, 5, 2), ...read(board, 0x0f, 2)], [3, 0, 3, 0]);
    assert.equal(new DataView(read(board, 3, 8).buffer).getBigUint64(0, true), 0x9000_0000n);
    const signature = new Uint8Array(4);
    readPort(board, 0x514, signature);
    assert.equal(Buffer.from(signature).toString(), 'QEMU');
  });

  it('lists its files in the order of their names, with sizes that fit', () => {
    const board = createBoard();
    const directory = Buffer.from(read(board, 0x19, 4 + 64 * 9));
    const names = Array.from({ length: directory.readUInt32BE(0) }, (_, i) => {
      const at = 4 + 64 * i;
      const key = directory.readUInt16BE(at + 4);
      assert.equal(board.fwCfg.items.get(key)?.length, directory.readUInt32BE(at));
      return directory.toString('latin1', at + 8, at + 64).replace(/\0+$/, '');
    });
    assert.deepEqual(names, [...names].sort());
    assert.ok(names.includes('etc/e820') && names.includes('etc/table-loader'));
  });

  it('splits a kernel as its header says', () => {
    const kernel = new Uint8Array(4096).map((_, i) => i);
    kernel[0x1f1] = 1;
    const board = createBoard({
      vcpus: 1,
      memory: { below: 0x1000_0000, above: 0 },
      kernel: { kernel, append: 'console=ttyS0' },
    });
    assert.deepEqual([...read(board, 0x17, 4), ...read(board, 0x08, 4)], [0, 4, 0, 0, 0, 12, 0, 0]);
    assert.deepEqual(read(board, 0x11, 3072), kernel.subarray(1024));
    assert.equal(Buffer.from(read(board, 0x15, 14)).toString(), 'console=ttyS0\0');
    assert.deepEqual([...read(board, 0x0b, 4)], [0, 0, 0, 0]);
  });

  it('gives the same bytes by port and by DMA, with zeros behind the end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(150), fc.nat(150), (item, skip, length) => {
        const { memory, board, dma } = setUp(item);
        assert.equal(dma(((ITEM << 16) | 8 | 4) >>> 0, skip, 0), 0);
        assert.equal(dma(2, length, 0x2ff0), 0);
        const expected = read(board, ITEM, skip + length).subarray(skip);
        assert.deepEqual(memory.slice(0x2ff0, 0x2ff0 + length), expected);
        assert.equal(memory[0x2ff0 + length], 0);
      }),
    );
  });

  it('answers a write, and memory that is not there, with the error bit', () => {
    const { dma } = setUp(Uint8Array.of(1, 2, 3));
    assert.equal(dma(((ITEM << 16) | 8 | 16) >>> 0, 3, 0x200), 1);
    assert.equal(dma(((ITEM << 16) | 8 | 2) >>> 0, 3, 0x3fff), 1);
    assert.equal(dma(((ITEM << 16) | 8 | 2) >>> 0, 3, 0x200), 0);
  });
});
