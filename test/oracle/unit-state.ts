import { UNIT_SIZE } from './native.js';
import type { Random } from './random.js';

/** Random states of the x87, MMX and XMM units, as FXSAVE images, on which arithmetic has something to do. */

/** Zeros, ones, halves, limits of integers, infinities, NaNs quiet and signalling, denormals; single and double. */
const FLOATS = [0, 1, 1.5, 0.5, 2.5, 2147483647, 2147483648, 2147483648.5, 2 ** 63, 1e30, 1e300, 1e-310]
  .flatMap((value) => [value, -value])
  .concat([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.1, 3]);
const NANS = [0x7fc0_0001, 0xffc1_2345, 0x7f80_0001, 0xffa0_0000, 1, 0x8000_0001, 0x7f7f_ffff];

/** Bytes of any kind, and in places numbers that floating point treats in a special way. */
export function floatBytes(random: Random, size: number): Uint8Array {
  const out = Uint8Array.from({ length: size }, () =>
    random.chance(4) ? random.pick([0, 0xff, 0x80, 0x7f]) : random.u32(),
  );
  const view = new DataView(out.buffer);
  for (let at = 0; at < size; at += 8) {
    const kind = random.below(6);
    if (kind === 0) view.setFloat64(at, random.pick(FLOATS), true);
    else if (kind === 1) view.setFloat32(at + 4 * random.below(2), random.pick(FLOATS), true);
    else if (kind === 2) view.setUint32(at + 4, random.pick(NANS), true);
    else if (kind === 3) view.setUint32(at, random.pick(NANS), true);
    // NaN of double precision from the upper half of a single one's bits.
    if (random.chance(12))
      view.setUint32(at + 4, random.pick([0x7ff8_0000, 0xfff4_0000, 0x7ff0_0000, 0x8010_0000]), true);
  }
  return out;
}

const TOP = 1n << 63n;
const SIGNIFICANDS = [TOP, TOP, TOP | 1n, (1n << 64n) - 1n, TOP | (1n << 62n), TOP | (1n << 39n), TOP | (1n << 10n)];
/** Around one, at the limits of integers, of single and double precision, and of the format. */
const EXPONENTS = [
  0, 1, 2, 0x3fff, 0x3fff, 0x3ffe, 0x4000, 0x400e, 0x401e, 0x403e, 0x403a, 0x3f80, 0x3f69, 0x407f,
].concat([0x3c01, 0x3bcd, 0x43fe, 0x43ff, 0x7ffe, 0x7fff, 0x7fff, 0x7ff0]);

function extended(random: Random): { significand: bigint; signAndExponent: number } {
  const sign = random.chance(2) ? 0x8000 : 0;
  const kind = random.below(12);
  if (kind === 0) return { significand: 0n, signAndExponent: sign };
  if (kind === 1) return { significand: TOP, signAndExponent: sign | 0x7fff };
  if (kind === 2) return { significand: random.u64(), signAndExponent: sign | random.pick([0, 0x7fff, 0x3fff]) };
  if (kind === 3) {
    // A small integer, or one and a half of it.
    const value = BigInt(1 + random.below(200));
    const bits = value.toString(2).length;
    return { significand: value << BigInt(64 - bits), signAndExponent: sign | (0x3fff + bits - 1 - random.below(2)) };
  }
  const significand = random.chance(3) ? random.pick(SIGNIFICANDS) : random.u64() | TOP;
  if (kind < 9) return { significand, signAndExponent: sign | (0x3fff + random.below(80) - 40) };
  return { significand, signAndExponent: sign | (random.chance(4) ? random.below(0x8000) : random.pick(EXPONENTS)) };
}

const MASK_ALL = 0x3f;

/** What the fast path for floating point takes, and everything else. */
function mxcsr(random: Random): number {
  const flags = random.chance(2) ? random.below(64) : random.pick([0, 0x20, 0x3f]);
  if (random.chance(2)) return 0x1f80 | flags | (random.chance(3) ? 0 : 0x20);
  const masks = random.chance(4) ? random.below(64) : MASK_ALL;
  return (
    flags | (masks << 7) | (random.below(4) << 13) | (random.chance(4) ? 0x8000 : 0) | (random.chance(4) ? 0x40 : 0)
  );
}

export function unitState(random: Random): Uint8Array {
  const image = new Uint8Array(UNIT_SIZE);
  const view = new DataView(image.buffer);
  const plain = random.chance(2);
  const masks = plain || random.chance(2) ? MASK_ALL : random.below(64);
  const control = plain ? 0x37f : masks | 0x40 | (random.pick([0, 2, 3, 3]) << 8) | (random.below(4) << 10);
  // A pending exception, now and then.
  const flags = random.chance(2) ? 0 : random.below(128) & (random.chance(16) ? 0x7f : masks | 0x40);
  const conditions = random.chance(2) ? 0 : (random.below(8) << 8) | (random.below(2) << 14);
  const pending = (flags & ~masks & MASK_ALL) !== 0 ? 0x8080 : 0;
  view.setUint16(0, control, true);
  view.setUint16(2, flags | conditions | (random.below(8) << 11) | pending, true);
  view.setUint8(4, random.pick([0xff, 0xff, 0x7f, 0xfe, 0, random.below(256), random.below(256)]));
  view.setUint32(24, mxcsr(random), true);
  for (let n = 0; n < 8; n++) {
    const { significand, signAndExponent } = extended(random);
    view.setBigUint64(32 + 16 * n, significand, true);
    view.setUint16(40 + 16 * n, signAndExponent, true);
  }
  image.set(floatBytes(random, 256), 160);
  return image;
}
