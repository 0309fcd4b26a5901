import { type CodeSize, type Instruction, OperandPlace } from '../decoder/instruction.js';
import { GPR, SEGMENT_SIZE, SEGMENT_TABLE, XMM, ZERO } from '../state/layout.js';
import { ASK_JUMP_CACHE, BLOCK, Handler, RECORD } from './record.js';

/** Writes the records of a block. Addresses are pairs of 32-bit halves: a bigint for each field costs as much as decoding. */

const SEGMENT_SELECTOR = 16;

/** 64 bits; both halves as the bits of an int32. */
export interface Wide {
  low: number;
  high: number;
}

export function addTo(sum: Wide, low: number, high: number): void {
  const total = (sum.low >>> 0) + (low >>> 0);
  sum.high = (sum.high + high + (total >= 0x1_0000_0000 ? 1 : 0)) | 0;
  sum.low = total | 0;
}

/** Cuts to the width of code, or of a branch's operand. */
export function wrapWide(value: Wide, bits: number): void {
  if (bits < 64) value.high = 0;
  if (bits < 32) value.low &= 0xffff;
}

function store(view: DataView, at: number, value: Wide): void {
  view.setInt32(at, value.low, true);
  view.setInt32(at + 4, value.high, true);
}

/** A direct branch. */
export const isRelative = (i: Instruction): boolean => {
  const kind = i.encoding?.operands[0];
  return kind === 'Jb' || kind === 'Jz';
};

/** A string instruction with REP: its target is itself. */
export const isRepeated = (i: Instruction): boolean => i.repeat !== 0 && i.encoding?.repeat !== 'none';
export const endsBlock = (i: Instruction): boolean => i.encoding?.ends === true || isRepeated(i);

function operandAddress(i: Instruction, n: 0 | 1 | 2): number {
  const { place, register, highByte } = i.operands[n];
  if (place === OperandPlace.register) return GPR + 8 * register + (highByte ? 1 : 0);
  if (place === OperandPlace.vector) return XMM + 16 * register;
  if (place === OperandPlace.segment) return SEGMENT_TABLE + SEGMENT_SIZE * register + SEGMENT_SELECTOR;
  return 0;
}

const sum: Wide = { low: 0, high: 0 };

export class RecordWriter {
  /** RIP of the instruction to be written. */
  private readonly rip: Wide = { low: 0, high: 0 };
  private codeSize: CodeSize = 64;
  /** An instruction of the block lies in two pages: no links. */
  private link = 0;
  /** Address of the next record. */
  at = 0;

  constructor(private readonly view: DataView) {}

  startBlock(at: number, rip: bigint, count: number, codeSize: CodeSize, crossing: boolean): void {
    const { view } = this;
    view.setInt32(at + BLOCK.count, count, true);
    view.setInt32(at + BLOCK.executions, 0, true);
    view.setBigUint64(at + BLOCK.rip, rip, true);
    this.rip.low = view.getInt32(at + BLOCK.rip, true);
    this.rip.high = view.getInt32(at + BLOCK.rip + 4, true);
    this.codeSize = codeSize;
    this.link = crossing ? ASK_JUMP_CACHE : 0;
    this.at = at + BLOCK.size;
  }

  /** `left`: instructions of the block from this one on; `kept`: index of the instruction for TypeScript. */
  instruction(i: Instruction, handler: number, left: number, kept: number): void {
    const { view, at, rip } = this;
    const repeated = isRepeated(i);
    view.setUint16(at + RECORD.handler, handler, true);
    view.setUint16(at + RECORD.register[0], operandAddress(i, 0), true);
    view.setUint16(at + RECORD.register[1], operandAddress(i, 1), true);
    view.setUint16(at + RECORD.register[2], operandAddress(i, 2), true);
    view.setUint16(at + RECORD.base, i.base < 0 ? ZERO : GPR + 8 * i.base, true);
    view.setUint16(at + RECORD.index, i.index < 0 ? ZERO : GPR + 8 * i.index, true);
    view.setUint16(at + RECORD.segment, SEGMENT_TABLE + SEGMENT_SIZE * i.segment, true);
    view.setUint8(at + RECORD.scale, i.scale);
    view.setUint8(at + RECORD.condition, i.opcode & 15);
    view.setUint8(at + RECORD.left, left);
    view.setUint8(at + RECORD.length, i.length);
    view.setUint8(at + RECORD.repeated, repeated ? 1 : 0);
    view.setInt32(at + RECORD.targetLink, this.link, true);
    view.setInt32(at + RECORD.nextLink, this.link, true);
    view.setInt32(at + RECORD.instruction, kept, true);
    if (repeated) store(view, at + RECORD.immediate, rip);
    addTo(rip, i.length, 0);
    wrapWide(rip, this.codeSize);
    store(view, at + RECORD.next, rip);
    sum.low = i.displacement;
    sum.high = i.displacementHigh;
    if (i.ripRelative) addTo(sum, rip.low, rip.high);
    store(view, at + RECORD.displacement, sum);
    if (!repeated) {
      sum.low = i.immediate;
      sum.high = i.immediateHigh;
      if (isRelative(i)) {
        addTo(sum, rip.low, rip.high);
        wrapWide(sum, i.operandSize * 8);
      }
      store(view, at + RECORD.immediate, sum);
    }
    this.at = at + RECORD.size;
  }

  /** Goes on with the next block, after an instruction that is no branch. */
  fallThrough(): void {
    const { view, at, rip } = this;
    view.setUint16(at + RECORD.handler, Handler.fallThrough, true);
    store(view, at + RECORD.next, rip);
    view.setInt32(at + RECORD.nextLink, this.link, true);
    this.at = at + RECORD.size;
  }
}
