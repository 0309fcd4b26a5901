/** Numbers for an operation: from fast-check, or from a seed. */
export interface Numbers {
  /** 0 … n-1. */
  below(n: number): number;
}

/** xorshift32: the same seed gives the same numbers everywhere. */
export function seededNumbers(seed: number): Numbers {
  let x = (seed * 0x9e37_79b9 + 0x1234_5678) >>> 0 || 1;
  return {
    below(n) {
      x ^= x << 13;
      x >>>= 0;
      x ^= x >>> 17;
      x ^= x << 5;
      x >>>= 0;
      return x % n;
    },
  };
}

/** Numbers of a list, which can be made shorter and smaller; zeros behind its end. */
export function listedNumbers(list: readonly number[]): Numbers {
  let next = 0;
  return { below: (n) => (list[next++] ?? 0) % n };
}

export function pick<T>(numbers: Numbers, items: readonly [T, ...T[]]): T {
  return items[numbers.below(items.length)] ?? items[0];
}
