/** Enough for what happens between two flushes of a kernel that changes single pages. */
const MOST = 512;

/** Which entries of a large table have been filled since it was emptied, as long as they are few. */
export class FilledEntries {
  private readonly entries = new Int32Array(MOST);
  private count = 0;

  note(entry: number): void {
    if (this.count < MOST) this.entries[this.count] = entry;
    this.count++;
  }

  /** Undefined if they were too many: the whole table is to be emptied. */
  take(): Int32Array | undefined {
    const { count } = this;
    this.count = 0;
    return count <= MOST ? this.entries.subarray(0, count) : undefined;
  }
}
