import type { BoardEnv } from './board-env.js';

/**
 * HPET as q35 has it: one counter of 100 MHz and three comparators. Sources: IA-PC HPET specification 1.0a; QEMU
 * hw/timer/hpet.c. Interrupts come from {@link hpetTick}, at the time that {@link hpetDeadline} names.
 */
export interface Hpet {
  configuration: number;
  status: number;
  /** Counter while it stands; while it runs, its value at time 0. */
  counter: bigint;
  readonly timers: HpetTimer[];
}

interface HpetTimer {
  configuration: number;
  comparator: bigint;
  period: bigint;
  /** The value of the comparator for which the interrupt was raised last. */
  fired: boolean;
}

const TIMERS = 3;
/** 10 ns, in femtoseconds. */
const PERIOD = 10_000_000;
const NS_PER_TICK = 10;
/** 64 bits, legacy replacement, Intel, revision 1. */
const CAPABILITIES = 0x8086_a001 | ((TIMERS - 1) << 8);
const ENABLE = 1;
const LEGACY = 2;
/** Lines of the I/O APIC to which a timer can be connected. */
const ROUTES = 0xff_0104;
const LEVEL = 1 << 1;
const INTERRUPT = 1 << 2;
const PERIODIC = 1 << 3;
const PERIODIC_CAPABLE = 1 << 4;
const SIZE_64 = 1 << 5;
const SET_VALUE = 1 << 6;
const MODE_32 = 1 << 8;
const WRITABLE = 0x7f4e & ~0x4000;
const ALL = (1n << 64n) - 1n;
const LOW = 0xffff_ffffn;

export function createHpet(): Hpet {
  const timers = Array.from({ length: TIMERS }, () => ({
    configuration: PERIODIC_CAPABLE | SIZE_64,
    comparator: ALL,
    period: 0n,
    fired: true,
  }));
  return { configuration: 0, status: 0, counter: 0n, timers };
}

function counter(hpet: Hpet, now: number): bigint {
  if ((hpet.configuration & ENABLE) === 0) return hpet.counter;
  return (hpet.counter + BigInt(Math.floor(now / NS_PER_TICK))) & ALL;
}

/** 4 or 8 bytes at an offset that is a multiple of 4. */
export function readHpet(hpet: Hpet, offset: number, size: number, env: BoardEnv): bigint {
  const low = register(hpet, offset & ~7, env);
  const part = (offset & 4) === 0 ? low : low >> 32n;
  return size === 8 ? part : part & LOW;
}

function register(hpet: Hpet, offset: number, env: BoardEnv): bigint {
  switch (offset) {
    case 0x00:
      return (BigInt(PERIOD) << 32n) | BigInt(CAPABILITIES >>> 0);
    case 0x10:
      return BigInt(hpet.configuration);
    case 0x20:
      return BigInt(hpet.status);
    case 0xf0:
      return counter(hpet, env.now());
    default: {
      const timer = hpet.timers[(offset - 0x100) >> 5];
      if (!timer || offset < 0x100) return 0n;
      if ((offset & 0x1f) === 0) return (BigInt(ROUTES) << 32n) | BigInt(timer.configuration);
      return (offset & 0x1f) === 8 ? timer.comparator : 0n;
    }
  }
}

/** 4 or 8 bytes; the other half of a register keeps its value. */
export function writeHpet(hpet: Hpet, offset: number, size: number, value: bigint, env: BoardEnv): void {
  if (size === 8) {
    writeRegister(hpet, offset, value, true, env);
    return;
  }
  const old = register(hpet, offset & ~7, env);
  const high = (offset & 4) !== 0;
  const merged = high ? (old & LOW) | (value << 32n) : (old & ~LOW) | value;
  writeRegister(hpet, offset & ~7, merged & ALL, !high, env);
}

function writeRegister(hpet: Hpet, offset: number, value: bigint, withLow: boolean, env: BoardEnv): void {
  const now = env.now();
  switch (offset) {
    case 0x10: {
      const at = counter(hpet, now);
      hpet.configuration = Number(value & BigInt(ENABLE | LEGACY));
      hpet.counter = 0n;
      hpet.counter = (at - counter(hpet, now)) & ALL;
      break;
    }
    case 0x20:
      if (withLow) acknowledge(hpet, Number(value & 7n), env);
      break;
    case 0xf0:
      hpet.counter = 0n;
      hpet.counter = (value - counter(hpet, now)) & ALL;
      break;
    default:
      writeTimer(hpet, offset, value);
      break;
  }
}

function acknowledge(hpet: Hpet, bits: number, env: BoardEnv): void {
  hpet.timers.forEach((_, i) => {
    if ((bits & hpet.status & (1 << i)) !== 0) env.setIrq(lineOf(hpet, i), false);
  });
  hpet.status &= ~bits;
}

function writeTimer(hpet: Hpet, offset: number, value: bigint): void {
  const timer = hpet.timers[(offset - 0x100) >> 5];
  if (!timer || offset < 0x100) return;
  if ((offset & 0x1f) === 0) {
    timer.configuration = (timer.configuration & ~WRITABLE) | (Number(value & LOW) & WRITABLE);
  } else if ((offset & 0x1f) === 8) {
    const bits = (timer.configuration & MODE_32) !== 0 ? value & LOW : value;
    const periodic = (timer.configuration & PERIODIC) !== 0;
    if (!periodic || (timer.configuration & SET_VALUE) !== 0) timer.comparator = bits;
    if (periodic) timer.period = bits;
    timer.configuration &= ~SET_VALUE;
    timer.fired = false;
  }
}

function lineOf(hpet: Hpet, index: number): number {
  if ((hpet.configuration & LEGACY) !== 0 && index < 2) return index === 0 ? 2 : 8;
  return ((hpet.timers[index]?.configuration ?? 0) >> 9) & 31;
}

/** Ticks until a timer is due; undefined: never. */
function ticksLeft(hpet: Hpet, timer: HpetTimer, now: number): bigint | undefined {
  if ((hpet.configuration & ENABLE) === 0 || (timer.configuration & INTERRUPT) === 0 || timer.fired) return undefined;
  const mask = (timer.configuration & MODE_32) !== 0 ? LOW : ALL;
  const left = (timer.comparator - counter(hpet, now)) & mask;
  // The upper half of the range is the past.
  return left > mask >> 1n ? 0n : left;
}

/** Nanoseconds of the machine's clock at which an interrupt is due; undefined: none is. */
export function hpetDeadline(hpet: Hpet, now: number): number | undefined {
  let first: number | undefined;
  for (const timer of hpet.timers) {
    const left = ticksLeft(hpet, timer, now);
    if (left === undefined) continue;
    const at = (Math.floor(now / NS_PER_TICK) + Number(left)) * NS_PER_TICK;
    if (first === undefined || at < first) first = at;
  }
  return first;
}

/** Raises the interrupts that are due. */
export function hpetTick(hpet: Hpet, env: BoardEnv): void {
  hpet.timers.forEach((timer, i) => {
    if (ticksLeft(hpet, timer, env.now()) !== 0n) return;
    if ((timer.configuration & PERIODIC) !== 0 && timer.period > 0n) {
      const behind = (counter(hpet, env.now()) - timer.comparator) & ALL;
      timer.comparator = (timer.comparator + (behind / timer.period + 1n) * timer.period) & ALL;
    } else timer.fired = true;
    const line = lineOf(hpet, i);
    env.setIrq(line, true);
    if ((timer.configuration & LEVEL) === 0) env.setIrq(line, false);
    else hpet.status |= 1 << i;
  });
}
