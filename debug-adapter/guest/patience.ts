/** A guest that runs for long is no news to people who wait for it; a word tells that it does, and how to look. */
export interface Patience {
  /** When the guest went on; milliseconds. */
  began: number;
  told: boolean;
}

const PATIENCE = 5_000;

export function createPatience(): Patience {
  return { began: 0, told: true };
}

export function waitFrom(patience: Patience, now: number): void {
  patience.began = now;
  patience.told = false;
}

/** The word, once for each wait, when it has been long. */
export function impatience(patience: Patience, now: number, instructions: number): string | undefined {
  if (patience.told || now - patience.began < PATIENCE) return undefined;
  patience.told = true;
  return `The guest is still running, ${instructions.toLocaleString('en-US')} instructions so far: Pause (F6) shows where it is, Stop (Shift+F5) ends it.\n`;
}
