import assert from 'node:assert/strict';
import fc from 'fast-check';
import { NO_ENV } from '../../../../engine/vmm/devices/board-env.js';
import { fromSeconds, toSeconds } from '../../../../engine/vmm/devices/calendar.js';
import { type Cmos, createCmos, readCmos, writeCmos } from '../../../../engine/vmm/devices/cmos.js';

const SECOND = 1e9;
const at = (now: number) => ({ ...NO_ENV, now: () => now });

function read(cmos: Cmos, index: number, now = 0): number {
  writeCmos(cmos, 0, index, NO_ENV);
  return readCmos(cmos, 1, at(now));
}

function write(cmos: Cmos, index: number, value: number, now = 0): void {
  writeCmos(cmos, 0, index, NO_ENV);
  writeCmos(cmos, 1, value, at(now));
}

const time = (cmos: Cmos, now = 0): string =>
  [0x32, 9, 8, 7, 4, 2, 0].map((index) => read(cmos, index, now).toString(16).padStart(2, '0')).join(' ');

describe('calendar', () => {
  it('agrees with the calendar of JavaScript, both ways', () => {
    fc.assert(
      fc.property(fc.integer({ min: -2_000_000_000, max: 20_000_000_000 }), (seconds) => {
        const date = new Date(seconds * 1000);
        const found = fromSeconds(seconds);
        const day = [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCDay()];
        assert.deepEqual([found.year, found.month, found.day, found.weekday], day);
        assert.deepEqual([found.hour, found.minute], [date.getUTCHours(), date.getUTCMinutes()]);
        assert.equal(toSeconds(found), seconds);
      }),
    );
  });
});

describe('CMOS', () => {
  it('tells firmware how much memory there is, as QEMU does', () => {
    const cmos = createCmos({ below: 0x8000_0000, above: 0x8000_0000 }, 4);
    const registers = [0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35, 0x5b, 0x5c, 0x5d, 0x5f];
    const found = registers.map((index) => read(cmos, index));
    assert.deepEqual(found, [0x80, 0x02, 0xff, 0xff, 0xff, 0xff, 0x00, 0x7f, 0x00, 0x80, 0x00, 0x03]);
  });

  it('has status registers as after a reset', () => {
    const cmos = createCmos({ below: 0x1000_0000, above: 0 }, 1);
    assert.deepEqual(
      [0x0a, 0x0b, 0x0c, 0x0d].map((index) => read(cmos, index)),
      [0x26, 0x02, 0, 0x80],
    );
  });

  it('runs with the clock, in BCD', () => {
    const cmos = createCmos({ below: 0x1000_0000, above: 0 }, 1);
    assert.equal(time(cmos), '20 25 01 01 00 00 00');
    assert.equal(time(cmos, (86_400 + 3600 * 13 + 59) * SECOND), '20 25 01 02 13 00 59');
    write(cmos, 0x0b, 0x06);
    assert.equal(read(cmos, 4, 3600 * 13 * SECOND), 13);
    write(cmos, 0x0b, 0x00);
    assert.equal(read(cmos, 4, 3600 * 13 * SECOND), 0x81);
  });

  it('can be set while it stands, and goes on from there', () => {
    const cmos = createCmos({ below: 0x1000_0000, above: 0 }, 1);
    write(cmos, 0x0b, 0x82, 5 * SECOND);
    for (const [index, value] of [
      [0x32, 0x19],
      [9, 0x99],
      [8, 0x12],
      [7, 0x31],
      [4, 0x23],
      [2, 0x59],
      [0, 0x59],
    ] as const) {
      write(cmos, index, value, 6 * SECOND);
    }
    assert.equal(time(cmos, 100 * SECOND), '19 99 12 31 23 59 59');
    write(cmos, 0x0b, 0x02, 100 * SECOND);
    assert.equal(time(cmos, 101 * SECOND), '20 00 01 01 00 00 00');
  });

  it('shows the update before the second changes', () => {
    const cmos = createCmos({ below: 0x1000_0000, above: 0 }, 1);
    assert.equal(read(cmos, 0x0a, SECOND - 300_000) & 0x80, 0);
    assert.equal(read(cmos, 0x0a, SECOND - 100_000) & 0x80, 0x80);
    assert.equal(read(cmos, 0x0a, SECOND) & 0x80, 0);
  });

  it('clears its flags when they are read', () => {
    const cmos = createCmos({ below: 0x1000_0000, above: 0 }, 1);
    assert.equal(read(cmos, 0x0c, SECOND) & 0x10, 0x10);
    assert.equal(read(cmos, 0x0c, SECOND) & 0x10, 0);
  });
});
