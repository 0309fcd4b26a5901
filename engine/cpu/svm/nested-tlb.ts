import type { Translation } from '../environment.js';

/** More would only cost memory: what is not in here is looked up again. */
const MOST = 8192;

/**
 * Translations of guest-physical accesses, so that the guest's own TLB flushes do not lead through nested page table
 * and RMP again. Valid for one guest at one VMPL, until its nested page table, the RMP or the key of a page changes.
 */
export class NestedTlb {
  private entries = new Map<number, Translation>();
  /** Keys of the entries that lead to a slot. */
  private bySlot = new Map<number, number[]>();

  get(key: number): Translation | undefined {
    return this.entries.get(key);
  }

  set(key: number, translation: Translation): void {
    if (this.entries.size >= MOST) this.flush();
    this.entries.set(key, translation);
    const keys = this.bySlot.get(translation.page);
    if (keys) keys.push(key);
    else this.bySlot.set(translation.page, [key]);
  }

  forgetSlot(slot: number): void {
    const keys = this.bySlot.get(slot);
    if (!keys) return;
    for (const key of keys) this.entries.delete(key);
    this.bySlot.delete(slot);
  }

  /** New maps: the table of a map that is cleared leads to its next one, and so keeps all later ones from being freed. */
  flush(): void {
    if (this.entries.size === 0) return;
    this.entries = new Map();
    this.bySlot = new Map();
  }
}
