import type { CpuEnvironment } from '../environment.js';
import { exception, VECTOR } from '../exception.js';
import { ALIGNED_CONTEXT, PAGE, SCRATCH, SEGMENT_SIZE, SEGMENT_TABLE } from '../state/layout.js';
import type { DebugMatches } from './debug-matches.js';
import { RECORD, STACK_ACCESS } from './record.js';
import type { SoftwareTlb } from './software-tlb.js';

/** Thrown out of an instruction before it has done anything: it runs once more, alone in its slice. */
export const AGAIN_ALONE = { kind: 'again alone' } as const;

/** The record that TypeScript was called for; 0 when no instruction is half done. */
export interface Execution {
  record: number;
}

/** Guest memory where the inline TLB check fails: misses, pages with decoded code, accesses across two pages. */
export class GuestAccess {
  /** What a write across pages in SCRATCH stands for. */
  private crossing: { first: number; second: number } = { first: 0, second: 0 };

  constructor(
    private readonly view: DataView,
    private readonly bytes: Uint8Array,
    private readonly tlb: SoftwareTlb,
    private readonly environment: CpuEnvironment,
    private readonly execution: Execution,
    private readonly debug: DebugMatches,
    private readonly hasCode: (page: number) => boolean,
    /** Drops what was decoded from bytes that are about to be written. */
    private readonly written: (offset: number, count: number) => void,
  ) {}

  /** The instruction in execution is alone in its slice, so that a trap can follow it. */
  alone = false;

  /** Linear memory offset of an access, through the TLB. Fills it; pages with decoded code are never writable in it. */
  private translate(linear: bigint, access: 'read' | 'write'): number {
    const { page, writable } = this.environment.translate(BigInt.asUintN(64, linear), access);
    const remembered = this.environment.context !== ALIGNED_CONTEXT && !this.debug.watches(BigInt.asUintN(64, linear));
    if (remembered) this.tlb.fill(linear, page, writable && !this.hasCode(page));
    return page * PAGE + Number(linear & 0xfffn);
  }

  /**
   * Breakpoints for data. Their trap comes after the instruction, which is therefore executed again on its own if it is
   * not already.
   */
  private watch(linear: bigint, count: number, access: 'read' | 'write'): void {
    if (this.debug.data.length === 0) return;
    const bits = this.debug.dataAt(BigInt.asUintN(64, linear), count, access);
    if (bits === 0) return;
    if (!this.alone) throw AGAIN_ALONE;
    this.debug.hits |= bits;
  }

  /** #AC, before the page is looked for: an operand of 2, 4, 8 or 16 bytes is aligned to its length. */
  checkAlignment(linear: bigint, count: number): void {
    if (this.environment.context !== ALIGNED_CONTEXT) return;
    if ((Number(linear & 15n) & (count - 1)) !== 0 && (count & (count - 1)) === 0)
      throw exception(VECTOR.AC, { errorCode: 0 });
  }

  /** Outside of the 48 bits that page tables translate: #SS for the stack segment, #GP for all others. */
  private checkCanonical(linear: bigint, access: number, record: number): void {
    if (this.environment.mode.codeSize !== 64) return;
    const count = access & (STACK_ACCESS - 1);
    for (const address of [linear, linear + BigInt(count - 1)]) {
      const sign = BigInt.asIntN(64, address) >> 47n;
      if (sign === 0n || sign === -1n) continue;
      const segment = this.view.getUint16(record + RECORD.segment, true);
      const isStack = (access & STACK_ACCESS) !== 0 || segment === SEGMENT_TABLE + SEGMENT_SIZE * 2;
      throw exception(isStack ? VECTOR.SS : VECTOR.GP, { errorCode: 0 });
    }
  }

  /** Pointer to bytes that may be read: in the guest page, or in SCRATCH if they lie in two. */
  readSlow(linear: bigint, access: number, record: number): number {
    this.execution.record = record;
    this.checkCanonical(linear, access, record);
    const count = access & (STACK_ACCESS - 1);
    this.checkAlignment(linear, count);
    this.watch(linear, count, 'read');
    const first = this.translate(linear, 'read');
    const here = PAGE - (first & (PAGE - 1));
    if (here < count) {
      const second = this.translate(linear + BigInt(here), 'read');
      this.bytes.copyWithin(SCRATCH, first, first + here);
      this.bytes.copyWithin(SCRATCH + here, second, second + count - here);
      this.execution.record = 0;
      return SCRATCH;
    }
    this.execution.record = 0;
    return first;
  }

  writeSlow(linear: bigint, access: number, record: number): number {
    this.execution.record = record;
    this.checkCanonical(linear, access, record);
    const count = access & (STACK_ACCESS - 1);
    this.checkAlignment(linear, count);
    this.watch(linear, count, 'write');
    const first = this.translate(linear, 'write');
    const here = PAGE - (first & (PAGE - 1));
    let result = first;
    if (here < count) {
      const second = this.translate(linear + BigInt(here), 'write');
      this.bytes.copyWithin(SCRATCH, first, first + here);
      this.bytes.copyWithin(SCRATCH + here, second, second + count - here);
      this.crossing = { first, second };
      this.written(second, count - here);
      result = SCRATCH;
    }
    this.written(first, Math.min(here, count));
    this.execution.record = 0;
    return result;
  }

  flushScratch(linear: bigint, count: number): void {
    const here = PAGE - Number(BigInt.asUintN(12, linear));
    this.bytes.copyWithin(this.crossing.first, SCRATCH, SCRATCH + here);
    this.bytes.copyWithin(this.crossing.second, SCRATCH + here, SCRATCH + count);
  }

  /** For instructions in TypeScript: linear memory offset of an access within one page. */
  dataOffset(linear: bigint, access: 'read' | 'write', count: number): number {
    const known = this.tlb.find(linear, access);
    if (known !== undefined) return known;
    this.watch(linear, count, access);
    const offset = this.translate(linear, access);
    if (access === 'write') this.written(offset, count);
    return offset;
  }
}
