import type { Machine } from '../../machine.js';
import type { Op } from '../../timeline/event.js';

const SOURCES = ['serial', 'debugcon'] as const;
/** A guest that never ends its line is shown nevertheless. */
const LONG = 256;

/** Reports whole lines of output; the rest waits for its end. */
export function* reportLines(machine: Machine): Op<void> {
  const output = machine.board?.output;
  if (!output) return;
  for (const source of SOURCES) {
    const end = output[source].length >= LONG ? output[source].length : output[source].lastIndexOf('\n') + 1;
    if (end > 0) yield* emit(machine, source, end);
  }
}

/** Reports all output: the guest pauses or has ended. */
export function* flushConsole(machine: Machine): Op<void> {
  for (const source of SOURCES) {
    const length = machine.board?.output[source].length ?? 0;
    if (length > 0) yield* emit(machine, source, length);
  }
}

function* emit(machine: Machine, source: (typeof SOURCES)[number], length: number): Op<void> {
  const output = machine.board?.output;
  if (!output) return;
  const text = output[source].slice(0, length);
  output[source] = output[source].slice(length);
  machine.console[source] += text;
  yield { kind: 'console', depth: machine.stack.frames.length, source, text };
}
