import {
  CONTEXT,
  CONTEXT_COUNT,
  CONTEXT_SIZE,
  CONTEXTS,
  PAGE,
  TLB,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
} from '../state/layout.js';
import { FilledEntries } from './filled-entries.js';

const pageOf = (linear: bigint): bigint => BigInt.asIntN(64, linear & ~0xfffn);

/** The software TLB that generated code reads: filled and emptied here. One for each context. */
export class SoftwareTlb {
  private readonly words: Int32Array;
  private readonly filled = new FilledEntries();

  constructor(private readonly view: DataView) {
    this.words = new Int32Array(view.buffer);
    this.flushAll();
  }

  private entry(linear: bigint): number {
    const index = Number((linear >> 12n) & BigInt(TLB_ENTRIES - 1));
    return this.view.getInt32(CONTEXT, true) + index * TLB_ENTRY_SIZE;
  }

  /** Offset in linear memory, if the current context has the page for this access. */
  find(linear: bigint, access: 'read' | 'write'): number | undefined {
    const entry = this.entry(linear);
    const tag = this.view.getBigInt64(entry + TLB[access], true);
    if (tag !== pageOf(linear)) return undefined;
    return this.view.getInt32(entry + TLB.page, true) * PAGE + Number(linear & 0xfffn);
  }

  fill(linear: bigint, page: number, writable: boolean): void {
    const { view } = this;
    const entry = this.entry(linear);
    const tag = pageOf(linear);
    this.filled.note(entry);
    if (view.getInt32(entry + TLB.page, true) !== page) view.setBigInt64(entry + TLB.code, -1n, true);
    view.setBigInt64(entry + TLB.read, tag, true);
    view.setBigInt64(entry + TLB.write, writable ? tag : -1n, true);
    view.setInt32(entry + TLB.delta, page * PAGE - Number(BigInt.asIntN(32, tag)), true);
    view.setInt32(entry + TLB.page, page, true);
  }

  /** Page of linear memory from which the current context fetches code. */
  findCode(linear: bigint): number | undefined {
    const entry = this.entry(linear);
    if (this.view.getBigInt64(entry + TLB.code, true) !== pageOf(linear)) return undefined;
    return this.view.getInt32(entry + TLB.page, true);
  }

  fillCode(linear: bigint, page: number): void {
    const { view } = this;
    const entry = this.entry(linear);
    const tag = pageOf(linear);
    this.filled.note(entry);
    if (view.getInt32(entry + TLB.page, true) !== page || view.getBigInt64(entry + TLB.read, true) !== tag) {
      view.setBigInt64(entry + TLB.read, -1n, true);
      view.setBigInt64(entry + TLB.write, -1n, true);
      view.setInt32(entry + TLB.page, page, true);
    }
    view.setBigInt64(entry + TLB.code, tag, true);
  }

  /** The page got decoded code: writes to it must ask. */
  forbidWrites(page: number): void {
    for (const entry of this.entriesOf(page)) this.view.setBigInt64(entry + TLB.write, -1n, true);
  }

  /** The page goes away, or its bytes become others: every access must ask. */
  forgetPage(page: number): void {
    for (const entry of this.entriesOf(page)) this.words.fill(-1, entry / 4, (entry + TLB_ENTRY_SIZE) / 4);
  }

  /** Entries of all contexts that lead to a page of linear memory. */
  private entriesOf(page: number): number[] {
    const { words } = this;
    const found: number[] = [];
    for (let context = CONTEXTS; context < CONTEXTS + CONTEXT_COUNT * CONTEXT_SIZE; context += CONTEXT_SIZE) {
      const end = context + TLB_ENTRIES * TLB_ENTRY_SIZE;
      for (let entry = context; entry < end; entry += TLB_ENTRY_SIZE)
        if (words[(entry + TLB.page) >> 2] === page) found.push(entry);
    }
    return found;
  }

  flush(): void {
    const entries = this.filled.take();
    if (!entries) {
      this.flushAll();
      return;
    }
    for (const entry of entries) this.words.fill(-1, entry / 4, (entry + TLB_ENTRY_SIZE) / 4);
  }

  private flushAll(): void {
    for (let n = 0; n < CONTEXT_COUNT; n++) {
      const start = (CONTEXTS + n * CONTEXT_SIZE) / 4;
      this.words.fill(-1, start, start + (TLB_ENTRIES * TLB_ENTRY_SIZE) / 4);
    }
  }
}
