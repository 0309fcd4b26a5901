import { type Instruction, OperandPlace } from '../../decoder/instruction.js';
import { DOUBLE, SINGLE } from '../../float/format.js';
import { RoundingMode } from '../../float/round.js';
import { readVector, SseControl } from '../sse/control.js';
import { lane, writeLanes } from '../sse/instructions.js';
import { fromInteger, toInteger } from '../sse/lane.js';
import type { Vcpu } from '../vcpu.js';
import { checkMmx, enterMmx, readSource, writeMmx } from './instructions.js';

/** Conversions between MMX and XMM registers: APM volume 4. */

type SystemInstruction = (v: Vcpu, i: Instruction) => void;

const toFloats =
  (format: typeof SINGLE): SystemInstruction =>
  (v, i) => {
    // From memory no MMX register is involved.
    const usesUnit = i.operands[1].place === OperandPlace.mmx;
    if (usesUnit) checkMmx(v);
    const both = readSource(v, i, 1);
    const c = new SseControl(v);
    const results = [both, both >> 32n].map((x) => fromInteger(c, BigInt.asIntN(32, x), format));
    if (usesUnit) enterMmx(v);
    writeLanes(v, i, c, format, results);
  };

const toIntegers =
  (format: typeof SINGLE, truncates: boolean): SystemInstruction =>
  (v, i) => {
    checkMmx(v);
    const from = readVector(v, i, 1);
    const c = new SseControl(v);
    const mode = truncates ? RoundingMode.truncate : c.mode;
    const [low = 0n, high = 0n] = [0, 1].map((n) => toInteger(c, lane(from, format, n), format, 32, mode));
    enterMmx(v);
    c.finish();
    writeMmx(v, i.operands[0].register, low | (high << 32n));
  };

export const MMX_CONVERSIONS: Readonly<Record<string, SystemInstruction>> = {
  CVTPI2PS_MMX: toFloats(SINGLE),
  CVTPI2PD_MMX: toFloats(DOUBLE),
  CVTPS2PI_MMX: toIntegers(SINGLE, false),
  CVTTPS2PI_MMX: toIntegers(SINGLE, true),
  CVTPD2PI_MMX: toIntegers(DOUBLE, false),
  CVTTPD2PI_MMX: toIntegers(DOUBLE, true),
};
