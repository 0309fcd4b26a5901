import type { StopPlace } from '../places.js';

/** Where a breakpoint of a manifest line lands; lines start at 0. */
export type Binding =
  | { readonly bound: true; readonly entry: number; readonly line: number }
  | { readonly bound: false; readonly message: string };

/**
 * The entry whose lines hold the breakpoint, the smallest if several do; else the next one below. The launch does
 * not always run in the order of the lines, so "next" means next in the text.
 */
export function bindLine(line: number, stops: readonly StopPlace[]): Binding {
  const around = stops.filter((s) => s.line <= line && line <= s.endLine);
  const best = least(around, (s) => (s.endLine - s.line) * 1e6 - s.line) ?? least(below(line, stops), (s) => s.line);
  return best
    ? { bound: true, entry: best.entry, line: best.line }
    : { bound: false, message: 'The launch does nothing at this line or below it.' };
}

function below(line: number, stops: readonly StopPlace[]): StopPlace[] {
  return stops.filter((s) => s.line > line);
}

function least<T>(items: readonly T[], key: (item: T) => number): T | undefined {
  let best: T | undefined;
  for (const item of items) if (best === undefined || key(item) < key(best)) best = item;
  return best;
}
