import assert from 'node:assert/strict';
import { type BoardEnv, NO_ENV } from '../../../../engine/vmm/devices/board-env.js';
import {
  createI8042,
  readI8042Data,
  readI8042Status,
  writeI8042Command,
  writeI8042Data,
} from '../../../../engine/vmm/devices/i8042.js';

function setUp() {
  const state = createI8042();
  const lines = new Map<number, boolean>();
  const env: BoardEnv = { ...NO_ENV, setIrq: (gsi, level) => lines.set(gsi, level) };
  return {
    lines,
    command: (value: number) => writeI8042Command(state, value, env),
    data: (value: number) => writeI8042Data(state, value, env),
    status: () => readI8042Status(state),
    /** Everything that waits. */
    answers() {
      const found: number[] = [];
      while ((readI8042Status(state) & 1) !== 0) found.push(readI8042Data(state, env));
      return found;
    },
  };
}

describe('keyboard controller', () => {
  it('passes its self-test, and says so', () => {
    const { command, status, answers } = setUp();
    assert.equal(status(), 0x18);
    command(0xaa);
    assert.equal(status(), 0x1d);
    assert.deepEqual([answers(), status()], [[0x55], 0x1c]);
  });

  it('keeps its command byte', () => {
    const { command, data, answers } = setUp();
    command(0x60);
    data(0x44);
    command(0x20);
    assert.deepEqual(answers(), [0x44]);
  });

  it('has a keyboard and a mouse that answer to reset and identification', () => {
    const { command, data, answers, status } = setUp();
    data(0xff);
    assert.deepEqual(answers(), [0xfa, 0xaa]);
    data(0xf2);
    assert.deepEqual(answers(), [0xfa, 0xab, 0x83]);
    data(0xed);
    data(2);
    assert.deepEqual(answers(), [0xfa, 0xfa]);
    command(0xd4);
    data(0xff);
    assert.equal(status() & 0x21, 0x21);
    assert.deepEqual(answers(), [0xfa, 0xaa, 0]);
  });

  it('raises line 1 or 12 as long as something waits', () => {
    const { command, data, lines, answers } = setUp();
    data(0xee);
    assert.deepEqual([lines.get(1), lines.get(12)], [true, false]);
    answers();
    command(0xd4);
    data(0xf4);
    assert.deepEqual([lines.get(1), lines.get(12)], [false, true]);
    answers();
    assert.deepEqual([lines.get(1), lines.get(12)], [false, false]);
  });

  it('resets the machine only with the reset line', () => {
    const { command } = setUp();
    assert.deepEqual([command(0xff), command(0xfe), command(0xaa)], [false, true, false]);
  });
});
