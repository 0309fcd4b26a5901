import { STATUS_FLAGS } from '../semantics/flags.js';
import { FLAG_A, FLAG_TYPE, GPR, RIP, SEGMENT, SEGMENT_SIZE, SEGMENT_TABLE, SYSTEM_FLAGS, XMM } from './layout.js';

/** The part of a segment register that software does not see, as the VMSA has it, with its selector. */
export interface SegmentState {
  readonly selector: number;
  /** 3:0 type, 4 S, 6:5 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G. */
  readonly attributes: number;
  /** Bytes, as expanded by G. */
  readonly limit: number;
  readonly base: bigint;
}

/** Registers of the vCPU in linear memory, for everything that is not generated code. */
export class Registers {
  readonly view: DataView;

  constructor(
    buffer: ArrayBuffer,
    private readonly lazyFlags: (type: number, a: bigint, b: bigint) => number,
  ) {
    this.view = new DataView(buffer);
  }

  get(n: number): bigint {
    return this.view.getBigUint64(GPR + 8 * n, true);
  }
  set(n: number, value: bigint): void {
    this.view.setBigUint64(GPR + 8 * n, value, true);
  }
  /** Low 32 bits; writing clears the upper half. */
  get32(n: number): number {
    return this.view.getUint32(GPR + 8 * n, true);
  }
  set32(n: number, value: number): void {
    this.view.setBigUint64(GPR + 8 * n, BigInt(value >>> 0), true);
  }

  get rip(): bigint {
    return this.view.getBigUint64(RIP, true);
  }
  set rip(value: bigint) {
    this.view.setBigUint64(RIP, value, true);
  }

  /** RFLAGS as the guest sees it. */
  get flags(): number {
    const { view } = this;
    const [a, b] = [view.getBigInt64(FLAG_A, true), view.getBigInt64(FLAG_A + 8, true)];
    const status = this.lazyFlags(view.getInt32(FLAG_TYPE, true), a, b) & STATUS_FLAGS;
    return status | view.getInt32(SYSTEM_FLAGS, true) | 2;
  }
  set flags(value: number) {
    const { view } = this;
    view.setInt32(FLAG_TYPE, 0, true);
    view.setBigInt64(FLAG_A, BigInt(value & STATUS_FLAGS), true);
    view.setBigInt64(FLAG_A + 8, 0n, true);
    view.setInt32(SYSTEM_FLAGS, (value & ~STATUS_FLAGS) | 2, true);
  }

  xmm(n: number): Uint8Array {
    return new Uint8Array(this.view.buffer, XMM + 16 * n, 16);
  }

  segment(n: number): SegmentState {
    const { view } = this;
    const at = SEGMENT_TABLE + SEGMENT_SIZE * n;
    return {
      selector: view.getUint16(at + SEGMENT.selector, true),
      attributes: view.getUint16(at + SEGMENT.attributes, true),
      limit: view.getUint32(at + SEGMENT.limit, true),
      base: view.getBigUint64(at + SEGMENT.base, true),
    };
  }

  /** Also derives what generated code checks: first and last valid offset, and permissions. */
  setSegment(n: number, { selector, attributes, limit, base }: SegmentState): void {
    const { view } = this;
    const at = SEGMENT_TABLE + SEGMENT_SIZE * n;
    view.setBigUint64(at + SEGMENT.base, base, true);
    view.setUint16(at + SEGMENT.selector, selector, true);
    view.setUint16(at + SEGMENT.attributes, attributes, true);
    view.setUint32(at + SEGMENT.limit, limit, true);
    const isCode = (attributes & 8) !== 0;
    const present = (attributes & 0x80) !== 0;
    const expandDown = !isCode && (attributes & 4) !== 0;
    const top = (attributes & 0x400) !== 0 ? 0xffff_ffff : 0xffff;
    view.setUint32(at + SEGMENT.first, expandDown ? Math.min(limit + 1, 0xffff_ffff) : 0, true);
    view.setUint32(at + SEGMENT.last, expandDown ? top : limit, true);
    view.setUint8(at + SEGMENT.readable, present && (!isCode || (attributes & 2) !== 0) ? 1 : 0);
    view.setUint8(at + SEGMENT.writable, present && !isCode && (attributes & 2) !== 0 ? 1 : 0);
  }
}
