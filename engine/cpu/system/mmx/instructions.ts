import { type Instruction, OperandPlace } from '../../decoder/instruction.js';
import { exception, VECTOR } from '../../exception.js';
import { X87 } from '../../state/layout.js';
import { readMemory, segmentOffset, setRegister, writeMemory, writeOperand } from '../operands.js';
import { CR0, has } from '../system-state.js';
import type { Vcpu } from '../vcpu.js';
import { checkPending } from '../x87/instruction.js';
import { X87Registers } from '../x87/registers.js';
import { INTEGER } from './integer.js';
import { lanesOf, pack } from './lanes.js';

/** Instructions on MMX registers: APM volume 5. These registers are the significands of the x87 unit. */

type SystemInstruction = (v: Vcpu, i: Instruction) => void;

const mmxAt = (register: number): number => X87 + 16 * register;
export const readMmx = (v: Vcpu, register: number): bigint => v.cpu.view.getBigUint64(mmxAt(register), true);
/** Sign and exponent become ones. */
export function writeMmx(v: Vcpu, register: number, value: bigint): void {
  v.cpu.view.setBigUint64(mmxAt(register), value, true);
  v.cpu.view.setUint16(mmxAt(register) + 8, 0xffff, true);
}

export function checkMmx(v: Vcpu): void {
  if (has(v.state.cr0, CR0.EM)) throw exception(VECTOR.UD);
  if (has(v.state.cr0, CR0.TS)) throw exception(VECTOR.NM);
  checkPending(v, new X87Registers(v.cpu.view));
}

/** From now on the registers hold MMX values: all are in use, and the first is on top. */
export function enterMmx(v: Vcpu): void {
  const r = new X87Registers(v.cpu.view);
  r.top = 0;
  r.tag = 0xff;
}

/** Register, or memory with zeros above. */
export function readSource(v: Vcpu, i: Instruction, n: 0 | 1 | 2): bigint {
  const { place, register, size } = i.operands[n];
  return place === OperandPlace.mmx ? readMmx(v, register) : readMemory(v, i, size);
}

/** Every instruction on MMX registers changes the unit's mode, but only once nothing can fault any more. */
export const mmx =
  (operation: (v: Vcpu, i: Instruction) => void): SystemInstruction =>
  (v, i) => {
    checkMmx(v);
    operation(v, i);
    enterMmx(v);
  };

/** A result for the register that is the first operand. */
const toRegister = (result: (v: Vcpu, i: Instruction) => bigint): SystemInstruction =>
  mmx((v, i) => writeMmx(v, i.operands[0].register, result(v, i)));

const RDI = 7;

/** Bytes whose selector has its top bit set go to DS:rDI. */
function maskedStore(v: Vcpu, i: Instruction): void {
  const [value, selectors] = [readMmx(v, i.operands[0].register), readMmx(v, i.operands[1].register)];
  const offset = BigInt.asUintN(i.addressSize, v.registers.get(RDI));
  // The one instruction that changes the unit's mode even if its memory operand faults.
  enterMmx(v);
  const at = segmentOffset(v, i.segment, offset, 8, true);
  v.cpu.dataOffset(at, 'write', 1);
  v.cpu.dataOffset(BigInt.asUintN(64, at + 7n), 'write', 1);
  const old = v.readLinear(at, 8);
  let mixed = 0n;
  for (let n = 0n; n < 64n; n += 8n) {
    const from = ((selectors >> (n + 7n)) & 1n) !== 0n ? value : old;
    mixed |= from & (0xffn << n);
  }
  v.writeLinear(at, 8, mixed);
}

const selectWord = (value: bigint, selector: number): bigint => (value >> BigInt(16 * (selector & 3))) & 0xffffn;

export const MMX_INSTRUCTIONS: Readonly<Record<string, SystemInstruction>> = {
  ...Object.fromEntries(
    Object.entries(INTEGER).map(([name, operation]) => [
      `${name}_MMX`,
      toRegister((v, i) => {
        const { place } = i.operands[1];
        const b = place === OperandPlace.immediate ? BigInt(i.immediate & 0xff) : readSource(v, i, 1);
        return operation(readMmx(v, i.operands[0].register), b);
      }),
    ]),
  ),
  MOVD_LOAD_MMX: toRegister((v, i) => {
    const { place, register, size } = i.operands[1];
    return BigInt.asUintN(8 * size, place === OperandPlace.memory ? readMemory(v, i, size) : v.registers.get(register));
  }),
  MOVD_STORE_MMX: mmx((v, i) =>
    writeOperand(v, i, 0, BigInt.asUintN(8 * i.operands[0].size, readMmx(v, i.operands[1].register))),
  ),
  MOVQ_MMX: mmx((v, i) => {
    const value = readSource(v, i, 1);
    if (i.operands[0].place === OperandPlace.memory) writeMemory(v, i, 8, value);
    else writeMmx(v, i.operands[0].register, value);
  }),
  PSHUFW_MMX: toRegister((v, i) => {
    const words = lanesOf(readSource(v, i, 1), 16, false);
    return pack(
      [0, 2, 4, 6].map((n) => words[(i.immediate >> n) & 3] ?? 0),
      16,
    );
  }),
  PALIGNR_MMX: toRegister((v, i) => {
    const both = readSource(v, i, 1) | (readMmx(v, i.operands[0].register) << 64n);
    return BigInt.asUintN(64, both >> BigInt(8 * (i.immediate & 0xff)));
  }),
  PINSRW_MMX: toRegister((v, i) => {
    const { place, register } = i.operands[1];
    const word = place === OperandPlace.memory ? readMemory(v, i, 2) : BigInt.asUintN(16, v.registers.get(register));
    const at = BigInt(16 * (i.immediate & 3));
    return (readMmx(v, i.operands[0].register) & ~(0xffffn << at)) | (word << at);
  }),
  PEXTRW_MMX: mmx((v, i) =>
    setRegister(v, i.operands[0].register, 4, selectWord(readMmx(v, i.operands[1].register), i.immediate)),
  ),
  PMOVMSKB_MMX: mmx((v, i) => {
    const bytes = lanesOf(readMmx(v, i.operands[1].register), 8, false);
    setRegister(v, i.operands[0].register, 4, BigInt(bytes.reduce((mask, byte, n) => mask | ((byte >> 7) << n), 0)));
  }),
  MASKMOVQ_MMX: mmx(maskedStore),
  MOVQ2DQ_MMX: mmx((v, i) => {
    const xmm = v.registers.xmm(i.operands[0].register);
    const view = new DataView(xmm.buffer, xmm.byteOffset);
    view.setBigUint64(0, readMmx(v, i.operands[1].register), true);
    view.setBigUint64(8, 0n, true);
  }),
  MOVDQ2Q_MMX: toRegister((v, i) => {
    const xmm = v.registers.xmm(i.operands[1].register);
    return new DataView(xmm.buffer, xmm.byteOffset).getBigUint64(0, true);
  }),
  /** All registers become empty. */
  EMMS: (v) => {
    checkMmx(v);
    const r = new X87Registers(v.cpu.view);
    r.top = 0;
    r.tag = 0;
  },
};
