/** Packed integers in 64 bits: lanes as plain numbers, and operations between them. APM volume 5, chapter 1. */

export type LaneBits = 8 | 16 | 32;

export function lanesOf(value: bigint, bits: LaneBits, signed: boolean): number[] {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, value, true);
  return Array.from({ length: 64 / bits }, (_, n) => {
    if (bits === 8) return signed ? view.getInt8(n) : view.getUint8(n);
    if (bits === 16) return signed ? view.getInt16(2 * n, true) : view.getUint16(2 * n, true);
    return signed ? view.getInt32(4 * n, true) : view.getUint32(4 * n, true);
  });
}

/** Upper bits of the numbers are cut off. */
export function pack(lanes: readonly number[], bits: LaneBits): bigint {
  const view = new DataView(new ArrayBuffer(8));
  lanes.forEach((lane, n) => {
    if (bits === 8) view.setUint8(n, lane);
    else if (bits === 16) view.setUint16(2 * n, lane, true);
    else view.setUint32(4 * n, lane, true);
  });
  return view.getBigUint64(0, true);
}

export type Binary = (a: bigint, b: bigint) => bigint;

export const eachLane =
  (bits: LaneBits, signed: boolean, operation: (a: number, b: number) => number): Binary =>
  (a, b) => {
    const other = lanesOf(b, bits, signed);
    return pack(
      lanesOf(a, bits, signed).map((lane, n) => operation(lane, other[n] ?? 0)),
      bits,
    );
  };

/** The nearest number that a lane can hold. */
export function saturate(value: number, bits: 8 | 16, signed: boolean): number {
  const [least, most] = signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  return Math.min(most, Math.max(least, value));
}

/** Lanes of a, then lanes of b, each made narrower with saturation. */
export const narrow =
  (from: 16 | 32, signed: boolean): Binary =>
  (a, b) => {
    const to = from === 16 ? 8 : 16;
    return pack(
      [...lanesOf(a, from, true), ...lanesOf(b, from, true)].map((lane) => saturate(lane, to, signed)),
      to,
    );
  };

/** Lanes of the low or high halves, alternately. */
export const interleave =
  (bits: LaneBits, high: boolean): Binary =>
  (a, b) => {
    const [x, y] = [lanesOf(a, bits, false), lanesOf(b, bits, false)];
    const first = high ? x.length / 2 : 0;
    const out: number[] = [];
    for (let n = first; n < first + x.length / 2; n++) out.push(x[n] ?? 0, y[n] ?? 0);
    return pack(out, bits);
  };

/** Neighbours of a, then neighbours of b. */
export const horizontal =
  (bits: 16 | 32, operation: (even: number, odd: number) => number): Binary =>
  (a, b) => {
    const all = [...lanesOf(a, bits, true), ...lanesOf(b, bits, true)];
    const out: number[] = [];
    for (let n = 0; n < all.length; n += 2) out.push(operation(all[n] ?? 0, all[n + 1] ?? 0));
    return pack(out, bits);
  };

/** Products of neighbours, added. */
export const multiplyAdd =
  (bits: 8 | 16, signedA: boolean, add: (sum: number) => number): Binary =>
  (a, b) => {
    const [x, y] = [lanesOf(a, bits, signedA), lanesOf(b, bits, true)];
    const product = (n: number): number => (x[n] ?? 0) * (y[n] ?? 0);
    const out: number[] = [];
    for (let n = 0; n < x.length; n += 2) out.push(add(product(n) + product(n + 1)));
    return pack(out, bits === 8 ? 16 : 32);
  };

/** By a count in 64 bits: beyond the lane all bits are zero, or the sign. */
export const shift =
  (bits: LaneBits | 64, direction: 'left' | 'right' | 'arithmetic'): Binary =>
  (a, count) => {
    const far = count >= BigInt(bits);
    if (bits === 64) return far ? 0n : BigInt.asUintN(64, direction === 'left' ? a << count : a >> count);
    const n = far ? bits : Number(count);
    return pack(
      lanesOf(a, bits, direction === 'arithmetic').map((lane) => {
        if (direction === 'arithmetic') return lane >> Math.min(n, 31);
        if (far) return 0;
        return direction === 'left' ? lane << n : lane >>> n;
      }),
      bits,
    );
  };
