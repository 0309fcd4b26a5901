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

const pageOf = (linear: bigint): bigint => BigInt.asIntN(64, linear & ~0xfffn);

/** The software TLB that generated code reads: filled and emptied here. One for each context. */
export class SoftwareTlb {
  private readonly words: Int32Array;

  constructor(private readonly view: DataView) {
    this.words = new Int32Array(view.buffer);
    this.flush();
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
    view.setBigInt64(entry + TLB.read, tag, true);
    view.setBigInt64(entry + TLB.write, writable ? tag : -1n, true);
    view.setInt32(entry + TLB.delta, page * PAGE - Number(BigInt.asIntN(32, tag)), true);
    view.setInt32(entry + TLB.page, page, true);
  }

  /** The page got decoded code: writes to it must ask. */
  forbidWrites(page: number): void {
    const { view } = this;
    for (let context = 0; context < CONTEXT_COUNT; context++) {
      for (let n = 0; n < TLB_ENTRIES; n++) {
        const entry = CONTEXTS + context * CONTEXT_SIZE + n * TLB_ENTRY_SIZE;
        if (view.getInt32(entry + TLB.page, true) === page) view.setBigInt64(entry + TLB.write, -1n, true);
      }
    }
  }

  flush(): void {
    for (let n = 0; n < CONTEXT_COUNT; n++) {
      const start = (CONTEXTS + n * CONTEXT_SIZE) / 4;
      this.words.fill(-1, start, start + (TLB_ENTRIES * TLB_ENTRY_SIZE) / 4);
    }
  }
}
