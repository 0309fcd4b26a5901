import type { EngineEvent } from '../engine/timeline/event.js';

type ConsoleEvent = EngineEvent & { readonly kind: 'console' };

export interface ConsoleLines {
  add(event: ConsoleEvent): void;
  flush(): void;
}

/** Puts the output of the guest's devices, which comes by the byte, together into lines. */
export function createConsoleLines(write: (line: ConsoleEvent) => void): ConsoleLines {
  const pending = new Map<ConsoleEvent['source'], ConsoleEvent>();
  const flush = (source: ConsoleEvent['source']): void => {
    const event = pending.get(source);
    pending.delete(source);
    if (event) write({ ...event, text: event.text.replace(/\r$/, '') });
  };
  return {
    add(event) {
      const known = pending.get(event.source);
      const pieces = ((known?.text ?? '') + event.text).split('\n');
      for (const [n, text] of pieces.entries()) {
        pending.set(event.source, { ...event, text });
        if (n < pieces.length - 1) flush(event.source);
      }
      if (pending.get(event.source)?.text === '') pending.delete(event.source);
    },
    flush() {
      for (const source of [...pending.keys()]) flush(source);
    },
  };
}
