import { writeSync } from 'node:fs';

/** Where a command writes: its result to `out`, everything else to `err`. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
}

/** Thrown out of a command whose reader has gone away: `sev-snp launch … | head`. */
export class ReaderGone extends Error {}

const CHUNK = 1 << 16;

/**
 * Standard output and error, written synchronously in chunks: a command that makes millions of lines neither
 * fills the memory nor runs on after its reader has closed the pipe.
 */
export function standardOutput(): Output & { flush(): void } {
  let pending: string[] = [];
  let length = 0;
  const flush = (): void => {
    const text = pending.join('');
    pending = [];
    length = 0;
    if (text !== '') writeAll(1, text);
  };
  return {
    out(text) {
      pending.push(text);
      length += text.length;
      if (length >= CHUNK) flush();
    },
    err(text) {
      // In the order in which they were written, should both go to one terminal.
      flush();
      try {
        writeAll(2, text);
      } catch (error) {
        if (!(error instanceof ReaderGone)) throw error;
      }
    },
    flush,
  };
}

function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text, 'utf8');
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += writeSync(descriptor, bytes, offset, bytes.length - offset);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EPIPE' || code === 'EOF') throw new ReaderGone();
      if (code !== 'EAGAIN') throw error;
      // The pipe is full and does not block: wait for its reader.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
