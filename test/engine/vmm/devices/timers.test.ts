import assert from 'node:assert/strict';
import { pmTimer } from '../../../../engine/vmm/devices/acpi-pm.js';
import type { BoardEnv } from '../../../../engine/vmm/devices/board-env.js';
import { NO_ENV } from '../../../../engine/vmm/devices/board-env.js';
import { createHpet, hpetDeadline, hpetTick, readHpet, writeHpet } from '../../../../engine/vmm/devices/hpet.js';

function clock() {
  const lines: string[] = [];
  let now = 0;
  const env: BoardEnv = {
    ...NO_ENV,
    now: () => now,
    setIrq: (gsi, level) => lines.push(`${gsi}${level ? '+' : '-'}`),
  };
  return {
    env,
    lines,
    set(value: number) {
      now = value;
    },
  };
}

describe('ACPI timer', () => {
  it('counts 3.579545 MHz in 24 bits', () => {
    assert.deepEqual([pmTimer(0), pmTimer(1e9), pmTimer(2e6)], [0, 3_579_545, 7159]);
    assert.equal(pmTimer(5e9), (5 * 3_579_545) % 2 ** 24);
  });

  it('never runs backwards within its width', () => {
    let last = 0;
    for (let now = 0; now < 4e9; now += 12_345_678) {
      assert.ok(pmTimer(now) >= last);
      last = pmTimer(now);
    }
  });
});

describe('HPET', () => {
  it('says what QEMU says', () => {
    assert.equal(readHpet(createHpet(), 0, 8, NO_ENV), 0x0098_9680_8086_a201n);
  });

  it('counts only while it is enabled', () => {
    const { env, set } = clock();
    const hpet = createHpet();
    set(1000);
    assert.equal(readHpet(hpet, 0xf0, 8, env), 0n);
    writeHpet(hpet, 0x10, 8, 1n, env);
    set(2000);
    assert.equal(readHpet(hpet, 0xf0, 8, env), 100n);
    writeHpet(hpet, 0x10, 8, 0n, env);
    set(9000);
    assert.equal(readHpet(hpet, 0xf0, 8, env), 100n);
    writeHpet(hpet, 0xf4, 4, 1n, env);
    assert.equal(readHpet(hpet, 0xf0, 8, env), 0x1_0000_0064n);
  });

  it('raises a periodic interrupt each period, and names the next time', () => {
    const { env, lines, set } = clock();
    const hpet = createHpet();
    writeHpet(hpet, 0x100, 8, BigInt((2 << 9) | 4 | 8 | 0x40), env);
    writeHpet(hpet, 0x108, 8, 50n, env);
    assert.equal(hpetDeadline(hpet, 0), undefined);
    writeHpet(hpet, 0x10, 8, 1n, env);
    assert.equal(hpetDeadline(hpet, 0), 500);
    hpetTick(hpet, env);
    assert.deepEqual(lines, []);
    set(500);
    hpetTick(hpet, env);
    hpetTick(hpet, env);
    assert.deepEqual(lines, ['2+', '2-']);
    assert.equal(hpetDeadline(hpet, 500), 1000);
  });

  it('raises a one-shot interrupt once, and holds a level until it is acknowledged', () => {
    const { env, lines, set } = clock();
    const hpet = createHpet();
    writeHpet(hpet, 0x120, 8, BigInt((20 << 9) | 4 | 2), env);
    writeHpet(hpet, 0x128, 8, 10n, env);
    writeHpet(hpet, 0x10, 8, 1n, env);
    set(100);
    hpetTick(hpet, env);
    hpetTick(hpet, env);
    assert.deepEqual([lines, readHpet(hpet, 0x20, 8, env)], [['20+'], 2n]);
    assert.equal(hpetDeadline(hpet, 100), undefined);
    writeHpet(hpet, 0x20, 8, 2n, env);
    assert.deepEqual([lines, readHpet(hpet, 0x20, 8, env)], [['20+', '20-'], 0n]);
  });
});
