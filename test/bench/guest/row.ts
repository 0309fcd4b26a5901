/** A line of the benchmark's result. */
export interface Row {
  readonly what: string;
  readonly result: string;
  readonly target: string;
  readonly met: boolean | undefined;
}

export function printRows(rows: readonly Row[]): void {
  const width = Math.max(...rows.map((row) => row.what.length));
  for (const { what, result, target, met } of rows) {
    const verdict = met === undefined ? '' : `   target ${target}: ${met ? 'met' : 'MISSED'}`;
    console.log(`${what.padEnd(width)}   ${result}${verdict}`);
  }
}

export function ratio(value: number | undefined, width: number): string {
  return (value === undefined ? '–' : value.toFixed(3)).padStart(width);
}
