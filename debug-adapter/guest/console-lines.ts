export type ConsoleSource = 'serial' | 'debugcon';

/** Puts the guest's output together into lines, one device apart from the other. */
export interface ConsoleLines {
  readonly open: Record<ConsoleSource, string>;
}

/** A line that never ends is shown in pieces of this length. */
const MAX_LINE = 4096;

export function createConsoleLines(): ConsoleLines {
  return { open: { serial: '', debugcon: '' } };
}

/** The lines that `text` completes, each with its line break; output of the debug console is marked. */
export function addConsoleText({ open }: ConsoleLines, source: ConsoleSource, text: string): readonly string[] {
  const pieces = (open[source] + text).split('\n');
  let rest = pieces.pop() ?? '';
  while (rest.length > MAX_LINE) {
    pieces.push(rest.slice(0, MAX_LINE));
    rest = rest.slice(MAX_LINE);
  }
  open[source] = rest;
  return pieces.map((piece) => consoleLine(source, piece));
}

/** What has been written of lines without an end. */
export function flushConsole({ open }: ConsoleLines): readonly string[] {
  const lines = (['serial', 'debugcon'] as const)
    .filter((source) => open[source] !== '')
    .map((source) => consoleLine(source, open[source]));
  open.serial = '';
  open.debugcon = '';
  return lines;
}

function consoleLine(source: ConsoleSource, text: string): string {
  // Carriage returns and control sequences of terminals mean nothing in the debug console.
  const plain = text
    .replace(/\r/g, '')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: ANSI escape sequences begin with one
    .replace(/\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[A-Za-z])/g, '');
  return `${source === 'debugcon' ? 'debugcon: ' : ''}${plain}\n`;
}
