import assert from 'node:assert/strict';
import {
  createSerialPort,
  readSerial,
  serialInterrupt,
  serialReceive,
  writeSerial,
} from '../../../../engine/vmm/devices/serial.js';

describe('16550A', () => {
  it('has the registers of a port after reset', () => {
    const port = createSerialPort();
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5, 6, 7].map((register) => readSerial(port, register)),
      [0, 0, 1, 0, 8, 0x60, 0xb0, 0],
    );
  });

  it('sends what is written to THR, unless DLAB is set', () => {
    const port = createSerialPort();
    assert.equal(writeSerial(port, 0, 0x41), 0x41);
    writeSerial(port, 3, 0x83);
    assert.equal(writeSerial(port, 0, 1), undefined);
    assert.equal(writeSerial(port, 1, 2), undefined);
    assert.deepEqual([readSerial(port, 0), readSerial(port, 1), port.divisor], [1, 2, 0x201]);
    writeSerial(port, 3, 3);
    assert.deepEqual([readSerial(port, 1), readSerial(port, 3)], [0, 3]);
  });

  it('keeps the scratch register, and masks IER, FCR and MCR', () => {
    const port = createSerialPort();
    writeSerial(port, 7, 0x5a);
    writeSerial(port, 1, 0xff);
    writeSerial(port, 4, 0xff);
    assert.deepEqual([readSerial(port, 7), readSerial(port, 1), readSerial(port, 4)], [0x5a, 0x0f, 0x1f]);
  });

  it('reports its FIFO and the empty transmitter in IIR', () => {
    const port = createSerialPort();
    writeSerial(port, 2, 1);
    assert.equal(readSerial(port, 2), 0xc1);
    writeSerial(port, 1, 2);
    assert.equal(readSerial(port, 2), 0xc2);
    // Reading IIR has taken it back.
    assert.equal(readSerial(port, 2), 0xc1);
    writeSerial(port, 0, 0x41);
    assert.equal(readSerial(port, 2), 0xc2);
  });

  it('loops back bytes and modem lines', () => {
    const port = createSerialPort();
    writeSerial(port, 4, 0x1e);
    assert.equal(writeSerial(port, 0, 0xae), undefined);
    assert.deepEqual([readSerial(port, 5), readSerial(port, 6)], [0x61, 0xd0]);
    writeSerial(port, 1, 1);
    assert.equal(readSerial(port, 2), 4);
    assert.deepEqual([readSerial(port, 0), readSerial(port, 5)], [0xae, 0x60]);
    writeSerial(port, 0, 1);
    writeSerial(port, 2, 2);
    assert.equal(readSerial(port, 5), 0x60);
  });
});

describe('input of the serial port', () => {
  it('waits until there is room, and raises the interrupt', () => {
    const port = createSerialPort();
    writeSerial(port, 1, 1);
    serialReceive(port, [1, 2, 3]);
    assert.deepEqual([port.received.length, serialInterrupt(port), readSerial(port, 5) & 1], [1, true, 1]);
    assert.deepEqual([readSerial(port, 0), readSerial(port, 0), readSerial(port, 0)], [1, 2, 3]);
    assert.deepEqual([serialInterrupt(port), readSerial(port, 5) & 1], [false, 0]);
  });

  it('has room for 16 bytes in the FIFO', () => {
    const port = createSerialPort();
    writeSerial(port, 2, 1);
    serialReceive(port, new Uint8Array(40).keys());
    assert.equal(port.received.length, 16);
    assert.deepEqual(
      Array.from({ length: 40 }, () => readSerial(port, 0)),
      [...new Uint8Array(40).keys()],
    );
  });
});
