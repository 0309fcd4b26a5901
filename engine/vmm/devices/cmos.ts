import type { BoardEnv } from './board-env.js';
import { type CalendarTime, fromSeconds, toSeconds } from './calendar.js';

/**
 * MC146818 real-time clock with its 128 bytes of battery-backed memory. The time is that of the machine's clock, which
 * starts at {@link EPOCH}, so that runs repeat. Sources: MC146818 data sheet; QEMU hw/rtc/mc146818rtc.c, hw/i386/pc.c.
 */
export interface Cmos {
  index: number;
  readonly bytes: Uint8Array;
  /** Seconds that the time is ahead of the machine's clock. */
  offset: number;
  /** While bit SET of register B stops the clock: the second at which it stands. */
  stopped?: number;
  /** Nanoseconds at which register C was read last. */
  acknowledged: number;
}

/** 2025-01-01 00:00:00 UTC, in seconds since 1970. */
const EPOCH = 1_735_689_600;
const SECOND = 1_000_000_000;
/** The update begins with the UIP bit this long before the second changes. */
const UPDATE = 244_000;

const REG_A = 0x0a;
const REG_B = 0x0b;
const REG_C = 0x0c;
const REG_D = 0x0d;
const CENTURY = 0x32;
const UIP = 0x80;
const SET = 0x80;
const BINARY = 0x04;
const HOURS_24 = 0x02;
const PF = 0x40;
const UF = 0x10;
const IRQF = 0x80;
const RTC_IRQ = 8;

const KIB = 1024;
const MIB = 1024 * KIB;

/** `below` and `above` 4 GiB: bytes of memory. QEMU pc_cmos_init(). */
export function createCmos(memory: { readonly below: number; readonly above: number }, vcpus: number): Cmos {
  const bytes = new Uint8Array(128);
  bytes[REG_A] = 0x26;
  bytes[REG_B] = HOURS_24;
  bytes[REG_D] = 0x80;
  const word = (at: number, value: number): void => {
    bytes[at] = value;
    bytes[at + 1] = value >> 8;
  };
  // Floating-point unit, PS/2 mouse.
  bytes[0x14] = 0x06;
  word(0x15, 640);
  const extended = Math.min(Math.max(memory.below / KIB - 1024, 0), 0xffff);
  word(0x17, extended);
  word(0x30, extended);
  word(0x34, Math.min(Math.max(memory.below - 16 * MIB, 0) / (64 * KIB), 0xffff));
  const above = Math.floor(memory.above / (64 * KIB));
  word(0x5b, above);
  bytes[0x5d] = above >> 16;
  bytes[0x5f] = vcpus - 1;
  bytes[0x38] = 0x30;
  bytes[0x3d] = 0x12;
  return { index: 0, bytes, offset: EPOCH, acknowledged: 0 };
}

export function readCmos(cmos: Cmos, port: number, env: BoardEnv): number {
  if (port === 0) return 0xff;
  const { bytes, index } = cmos;
  if (index < REG_A || index === CENTURY) return timeRegister(cmos, index, env.now());
  switch (index) {
    case REG_A: {
      const inUpdate = cmos.stopped === undefined && env.now() % SECOND >= SECOND - UPDATE;
      return (bytes[REG_A] ?? 0) | (inUpdate ? UIP : 0);
    }
    case REG_C: {
      const flags = pending(cmos, env.now());
      cmos.acknowledged = env.now();
      env.setIrq(RTC_IRQ, false);
      return flags;
    }
    default:
      return bytes[index] ?? 0;
  }
}

/** Flags of register C: what has passed since it was read. */
function pending(cmos: Cmos, now: number): number {
  const rate = (cmos.bytes[REG_A] ?? 0) & 15;
  const b = cmos.bytes[REG_B] ?? 0;
  const passed = (period: number): boolean => Math.floor(now / period) !== Math.floor(cmos.acknowledged / period);
  let flags = 0;
  if (rate !== 0 && passed((SECOND / 32768) * 2 ** ((rate < 3 ? rate + 7 : rate) - 1))) flags |= PF;
  if (cmos.stopped === undefined && passed(SECOND)) flags |= UF;
  return (flags & b) !== 0 ? flags | IRQF : flags;
}

/** Seconds, minutes, hours, day of the week, day, month, year; alarm registers are memory. */
function timeRegister(cmos: Cmos, index: number, now: number): number {
  const { bytes } = cmos;
  if (index === 1 || index === 3 || index === 5) return bytes[index] ?? 0;
  const time = fromSeconds(cmos.stopped ?? Math.floor(now / SECOND) + cmos.offset);
  switch (index) {
    case 0:
      return coded(cmos, time.second);
    case 2:
      return coded(cmos, time.minute);
    case 4: {
      const { hour } = time;
      if (((bytes[REG_B] ?? 0) & HOURS_24) !== 0) return coded(cmos, hour);
      return coded(cmos, hour % 12 || 12) | (hour >= 12 ? 0x80 : 0);
    }
    case 6:
      return coded(cmos, time.weekday + 1);
    case 7:
      return coded(cmos, time.day);
    case 8:
      return coded(cmos, time.month);
    case 9:
      return coded(cmos, time.year % 100);
    default:
      return coded(cmos, Math.floor(time.year / 100));
  }
}

function coded({ bytes }: Cmos, value: number): number {
  return ((bytes[REG_B] ?? 0) & BINARY) !== 0 ? value : Math.floor(value / 10) * 16 + (value % 10);
}

function decoded({ bytes }: Cmos, value: number): number {
  return ((bytes[REG_B] ?? 0) & BINARY) !== 0 ? value : (value >> 4) * 10 + (value & 15);
}

export function writeCmos(cmos: Cmos, port: number, value: number, env: BoardEnv): void {
  if (port === 0) {
    cmos.index = value & 0x7f;
    return;
  }
  const { bytes, index } = cmos;
  if (index === 1 || index === 3 || index === 5) bytes[index] = value;
  else if (index < REG_A || index === CENTURY) setTime(cmos, index, value, env.now());
  else if (index === REG_A) bytes[REG_A] = value & ~UIP;
  else if (index === REG_B) writeControl(cmos, value, env.now());
  else if (index !== REG_C && index !== REG_D) bytes[index] = value;
}

function writeControl(cmos: Cmos, value: number, now: number): void {
  const seconds = Math.floor(now / SECOND);
  if ((value & SET) !== 0) cmos.stopped ??= seconds + cmos.offset;
  else if (cmos.stopped !== undefined) {
    cmos.offset = cmos.stopped - seconds;
    cmos.stopped = undefined;
  }
  cmos.bytes[REG_B] = value;
}

function setTime(cmos: Cmos, index: number, value: number, now: number): void {
  const seconds = Math.floor(now / SECOND);
  const time = fromSeconds(cmos.stopped ?? seconds + cmos.offset);
  const set = toSeconds({ ...time, ...changed(cmos, time, index, value) });
  if (cmos.stopped !== undefined) cmos.stopped = set;
  else cmos.offset = set - seconds;
}

function changed(cmos: Cmos, { year }: CalendarTime, index: number, value: number): Partial<CalendarTime> {
  const number = decoded(cmos, value);
  switch (index) {
    case 0:
      return { second: number };
    case 2:
      return { minute: number };
    case 4:
      if (((cmos.bytes[REG_B] ?? 0) & HOURS_24) !== 0) return { hour: number };
      return { hour: (decoded(cmos, value & 0x7f) % 12) + ((value & 0x80) !== 0 ? 12 : 0) };
    case 7:
      return { day: number };
    case 8:
      return { month: number };
    case 9:
      return { year: Math.floor(year / 100) * 100 + number };
    case CENTURY:
      return { year: number * 100 + (year % 100) };
    default:
      // The day of the week follows from the date.
      return {};
  }
}
