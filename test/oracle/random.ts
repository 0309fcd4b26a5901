/** xorshift32: the same seed gives the same cases everywhere. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = (seed ^ 0x9e3779b9) >>> 0 || 1;
    for (let i = 0; i < 8; i++) this.u32();
  }

  u32(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x >>> 0;
    return this.state;
  }

  /** 0 to n - 1. */
  below(n: number): number {
    return (this.u32() >>> 4) % n;
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.below(list.length)];
    if (item === undefined) throw new Error('pick from an empty list');
    return item;
  }
}

/** Seed and number of cases: `--seed=7 --cases=1000` after mocha's `--`, or SEED and CASES in the environment. */
export function oracleOptions(defaultCases: number): { seed: number; cases: number } {
  const option = (name: string): string | undefined =>
    process.argv.find((a) => a.startsWith(`--${name}=`))?.slice(name.length + 3) ?? process.env[name.toUpperCase()];
  return { seed: Number(option('seed') ?? 1), cases: Number(option('cases') ?? defaultCases) };
}
