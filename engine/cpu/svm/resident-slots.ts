import { copyBytes } from '../../bytes.js';
import type { PhysicalPage, ResidentPages } from '../../memory/system-memory.js';
import type { Cpu } from '../cpu.js';
import { PAGE } from '../state/layout.js';
import type { NestedTlb } from './nested-tlb.js';

/** Pages of linear memory behind the decoded code, given to system pages on first use. */
export interface ResidentSlots extends ResidentPages {
  readonly used: number;
  /** Moves the oldest half of the tenants out: only between two instructions, as one in execution may hold slots. */
  makeRoom(): void;
}

/**
 * `count` slots from the first guest page of the processor's linear memory. When all are taken the oldest tenants
 * move out again; what the guest sees does not depend on it.
 */
export function createResidentSlots(cpu: Cpu, nested: NestedTlb, count: number): ResidentSlots {
  const first = cpu.guestStart / PAGE;
  const tenants = new Map<number, PhysicalPage>();
  const free: number[] = [];
  let next = 0;
  const bytesOf = (slot: number): Uint8Array => cpu.bytes.subarray(slot * PAGE, (slot + 1) * PAGE);

  const forget = (slot: number): void => {
    cpu.forgetPage(slot);
    nested.forgetSlot(slot);
  };
  const release = (slot: number): void => {
    forget(slot);
    tenants.delete(slot);
    free.push(slot);
  };
  const moveOut = (slot: number, page: PhysicalPage): void => {
    page.content = { bytes: copyBytes(bytesOf(slot)), frozen: false };
    page.slot = undefined;
    release(slot);
  };
  return {
    get used() {
      return tenants.size;
    },
    admit(page) {
      if (free.length === 0 && next === count) return undefined;
      const slot = free.pop() ?? first + next++;
      const bytes = bytesOf(slot);
      bytes.set(page.content.bytes);
      page.content = { bytes, frozen: false };
      page.slot = slot;
      tenants.set(slot, page);
      return slot;
    },
    makeRoom() {
      const oldest = [...tenants].slice(0, Math.ceil(tenants.size / 2));
      for (const [slot, page] of oldest) moveOut(slot, page);
    },
    written: (slot, offset, length) => cpu.written(slot * PAGE + offset, length),
    rekeyed: forget,
    release,
  };
}
