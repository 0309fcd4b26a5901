import { type Instruction, type Operand, OperandPlace, Segment } from '../../decoder/instruction.js';
import { exception, VECTOR } from '../../exception.js';
import { BEFORE } from '../../float/float.js';
import type { RoundingControl, RoundingMode } from '../../float/round.js';
import { MXCSR, XMM } from '../../state/layout.js';
import { effectiveOffset, readBytes, segmentOffset } from '../operands.js';
import { CR4, has } from '../system-state.js';
import type { Vcpu } from '../vcpu.js';

/** What MXCSR asks of floating point on XMM registers, its flags, and the operands: APM volume 4, chapter 1. */

const DENORMALS_ARE_ZERO = 0x40;
const FLUSH_TO_ZERO = 0x8000;
const MISALIGNED = 0x2_0000;
const FLAGS = 0x3f;

/** Collects the exceptions of all lanes; they count together. */
export class SseControl implements RoundingControl {
  readonly mode: RoundingMode;
  readonly masks: number;
  readonly flushToZero: boolean;
  readonly denormalsAreZero: boolean;
  private flags = 0;

  constructor(private readonly v: Vcpu) {
    const word = v.cpu.view.getUint32(MXCSR, true);
    this.mode = (word >> 13) & 3;
    this.masks = (word >> 7) & FLAGS;
    // An underflow that is not masked is reported instead.
    this.flushToZero = has(word, FLUSH_TO_ZERO) && (this.masks & 0x10) !== 0;
    this.denormalsAreZero = has(word, DENORMALS_ARE_ZERO);
  }

  raise(flags: number): void {
    this.flags |= flags;
  }

  /**
   * To be called before the result is written: sets the sticky flags, and throws #XF if one is not masked. With an
   * unmasked exception of an operand, those of results are not found any more.
   */
  finish(): void {
    const { v } = this;
    const stopped = (this.flags & BEFORE & ~this.masks) !== 0;
    const flags = stopped ? this.flags & BEFORE : this.flags;
    const old = v.cpu.view.getUint32(MXCSR, true);
    if ((old | flags) !== old) {
      v.cpu.view.setUint32(MXCSR, old | flags, true);
      v.modeChanged();
    }
    if ((flags & ~this.masks) === 0) return;
    throw exception(has(v.state.cr4, CR4.OSXMMEXCPT) ? VECTOR.XF : VECTOR.UD);
  }
}

export const xmmView = (v: Vcpu, register: number): DataView =>
  new DataView(v.cpu.view.buffer, XMM + 16 * register, 16);

/** In 64-bit mode alignment counts before everything else that can be wrong with the address. */
function isMisaligned(v: Vcpu, i: Instruction): boolean {
  const offset = effectiveOffset(v, i);
  const { base } = v.registers.segment(i.segment);
  const linear =
    v.codeSize === 64 ? offset + (i.segment >= Segment.FS ? base : 0n) : segmentOffset(v, i.segment, offset, 16, false);
  return (linear & 15n) !== 0n;
}

/** Register, or memory; a whole vector must be aligned there unless MXCSR.MM is set. */
export function readVector(v: Vcpu, i: Instruction, n: 0 | 1 | 2): DataView {
  const { place, register, size }: Operand = i.operands[n];
  if (place !== OperandPlace.memory) {
    return new DataView(v.cpu.view.buffer.slice(XMM + 16 * register, XMM + 16 * register + 16));
  }
  const whole = new Uint8Array(16);
  const strict = size === 16 && !has(v.cpu.view.getUint32(MXCSR, true), MISALIGNED);
  if (strict && isMisaligned(v, i)) throw exception(VECTOR.GP, { errorCode: 0 });
  whole.set(readBytes(v, i, 0, size));
  return new DataView(whole.buffer);
}
