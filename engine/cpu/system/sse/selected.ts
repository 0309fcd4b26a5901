import type { Instruction } from '../../decoder/instruction.js';
import { DOUBLE, type Interchange, SINGLE } from '../../float/format.js';
import type { Vcpu } from '../vcpu.js';
import { readVector, SseControl, xmmView } from './control.js';
import { lane, writeLanes } from './instructions.js';
import { arithmetic } from './lane.js';

/** DPPS, DPPD and MPSADBW: APM volume 4. An immediate selects what is combined. */

/** Bits 7:4 select products, bits 3:0 where the sum goes. */
const dotProduct = (format: Interchange) => (v: Vcpu, i: Instruction) => {
  const c = new SseControl(v);
  const b = readVector(v, i, 1);
  const a = readVector(v, i, 0);
  const count = 128 / format.bits;
  const products = Array.from({ length: count }, (_, n) =>
    ((i.immediate >> (4 + n)) & 1) !== 0 ? arithmetic(c, 'MUL', lane(a, format, n), lane(b, format, n), format) : 0n,
  );
  // An exception that is not masked ends the instruction between its steps.
  c.finish();
  const add = (x = 0n, y = 0n): bigint => arithmetic(c, 'ADD', x, y, format);
  const [p0, p1, p2, p3] = products;
  let sum = add(p0, p1);
  if (count === 4) {
    const other = add(p2, p3);
    c.finish();
    sum = add(sum, other);
  }
  const lanes = products.map((_, n) => (((i.immediate >> n) & 1) !== 0 ? sum : 0n));
  writeLanes(v, i, c, format, lanes);
};

/** Sums of four absolute differences, of eight places in the destination with one block of the source. */
function differences(v: Vcpu, i: Instruction): void {
  const b = readVector(v, i, 1);
  const a = readVector(v, i, 0);
  const fromB = 4 * (i.immediate & 3);
  const fromA = i.immediate & 4;
  const to = xmmView(v, i.operands[0].register);
  for (let n = 0; n < 8; n++) {
    let sum = 0;
    for (let k = 0; k < 4; k++) sum += Math.abs(a.getUint8(fromA + n + k) - b.getUint8(fromB + k));
    to.setUint16(2 * n, sum, true);
  }
}

export const SSE_SELECTED: Readonly<Record<string, (v: Vcpu, i: Instruction) => void>> = {
  DPPS: dotProduct(SINGLE),
  DPPD: dotProduct(DOUBLE),
  MPSADBW: differences,
};
