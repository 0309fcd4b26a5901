import type { StopCondition } from './condition.js';

type Compare = (hits: number, n: number) => boolean;

const COMPARISONS: Readonly<Record<string, Compare>> = {
  '': (hits, n) => hits === n,
  '=': (hits, n) => hits === n,
  '==': (hits, n) => hits === n,
  '>': (hits, n) => hits > n,
  '>=': (hits, n) => hits >= n,
  '<': (hits, n) => hits < n,
  '<=': (hits, n) => hits <= n,
  '%': (hits, n) => n > 0 && hits % n === 0,
};

/** `3`, `>= 3`, `% 4`: counts how often the breakpoint was reached. Undefined if it is none of these. */
export function hitCondition(source: string): StopCondition | undefined {
  const match = /^\s*(==|=|>=|<=|>|<|%)?\s*(\d{1,9})\s*$/.exec(source);
  const compare = match && COMPARISONS[match[1] ?? ''];
  if (!match || !compare) return undefined;
  const n = Number(match[2]);
  let hits = 0;
  return { passes: () => compare(++hits, n) };
}
