import { CONTEXT, CONTEXT_COUNT, CONTEXT_SIZE, CONTEXTS, JUMP_CACHE, JUMP_CACHE_ENTRIES } from '../state/layout.js';

import { FilledEntries } from './filled-entries.js';

/** Where RIP leads, one cache for each context, read by generated code: RIP in 64 bits, address of the block. */
export class JumpCache {
  private readonly words: Int32Array;
  private readonly filled = new FilledEntries();

  constructor(private readonly view: DataView) {
    this.words = new Int32Array(view.buffer);
    this.flushAll();
  }

  private entry(context: number, rip: bigint): number {
    const low = Number(rip & 0xff_ffffn);
    return context + JUMP_CACHE + (((low ^ (low >> 12)) & (JUMP_CACHE_ENTRIES - 1)) << 4);
  }

  private here(rip: bigint): number {
    return this.entry(this.view.getInt32(CONTEXT, true), rip);
  }

  find(rip: bigint): number | undefined {
    const entry = this.here(rip);
    return this.view.getBigUint64(entry, true) === rip ? this.view.getInt32(entry + 8, true) : undefined;
  }

  remember(rip: bigint, block: number): void {
    const entry = this.here(rip);
    this.view.setBigUint64(entry, rip, true);
    this.view.setInt32(entry + 8, block, true);
    this.filled.note(entry);
  }

  /** The block is gone, in every context. */
  forget(rip: bigint, block: number): void {
    for (let n = 0; n < CONTEXT_COUNT; n++) {
      const entry = this.entry(CONTEXTS + n * CONTEXT_SIZE, rip);
      if (this.view.getInt32(entry + 8, true) === block) this.clear(entry);
    }
  }

  flush(): void {
    const entries = this.filled.take();
    if (!entries) this.flushAll();
    else for (const entry of entries) this.clear(entry);
  }

  private flushAll(): void {
    for (let n = 0; n < CONTEXT_COUNT; n++) {
      const start = CONTEXTS + n * CONTEXT_SIZE + JUMP_CACHE;
      this.words.fill(-1, start / 4, start / 4 + JUMP_CACHE_ENTRIES * 4);
      this.clear(start);
    }
  }

  /** An empty entry holds an RIP that does not belong there: −1 belongs into the first. */
  private clear(entry: number): void {
    const index = ((entry - CONTEXTS) % CONTEXT_SIZE) - JUMP_CACHE;
    this.view.setBigInt64(entry, index === 0 ? 1n : -1n, true);
    this.view.setInt32(entry + 8, 0, true);
  }
}
