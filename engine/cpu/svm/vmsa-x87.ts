import { X87, X87_CONTROL, X87_CS, X87_DP, X87_DS, X87_IP, X87_OPCODE, X87_STATUS, X87_TAG } from '../state/layout.js';
import type { Vcpu } from '../system/vcpu.js';
import { loadRegisters, setFullTag } from '../system/x87/environment.js';
import { X87Registers } from '../system/x87/registers.js';

/** The x87 unit in the VMSA: APM volume 2, table B-4, 0x400 to 0x46F. */

const AT = {
  dataPointer: 0x400,
  tag: 0x40c,
  status: 0x40e,
  control: 0x410,
  opcode: 0x412,
  dataSelector: 0x414,
  codeSelector: 0x416,
  instructionPointer: 0x418,
  registers: 0x420,
} as const;
const REGISTER_BYTES = 10;

export function loadX87(vcpu: Vcpu, v: DataView): void {
  const r = new X87Registers(vcpu.cpu.view);
  r.control = v.getUint16(AT.control, true);
  r.status = v.getUint16(AT.status, true);
  setFullTag(r, v.getUint16(AT.tag, true));
  loadRegisters(r, v, AT.registers, REGISTER_BYTES);
  r.opcode = v.getUint16(AT.opcode, true);
  r.instruction = {
    offset: v.getBigUint64(AT.instructionPointer, true),
    selector: v.getUint16(AT.codeSelector, true),
  };
  r.data = { offset: v.getBigUint64(AT.dataPointer, true), selector: v.getUint16(AT.dataSelector, true) };
}

/** As `storeRegisters` and `fullTag`, but without objects on the way: this is done at each exit. */
export function storeX87(vcpu: Vcpu, v: DataView): void {
  const { view } = vcpu.cpu;
  const top = (view.getUint16(X87_STATUS, true) >> 11) & 7;
  const used = view.getUint8(X87_TAG);
  let tag = 0;
  for (let n = 0; n < 8; n++) {
    const register = (top + n) & 7;
    const from = X87 + 16 * register;
    const to = AT.registers + REGISTER_BYTES * n;
    v.setUint32(to, view.getUint32(from, true), true);
    v.setUint32(to + 4, view.getUint32(from + 4, true), true);
    v.setUint16(to + 8, view.getUint16(from + 8, true), true);
    tag |= ((used & (1 << register)) === 0 ? EMPTY : tagOf(view, from)) << (2 * register);
  }
  v.setUint16(AT.control, view.getUint16(X87_CONTROL, true), true);
  v.setUint16(AT.status, view.getUint16(X87_STATUS, true), true);
  v.setUint16(AT.tag, tag, true);
  v.setUint16(AT.opcode, view.getUint16(X87_OPCODE, true), true);
  v.setUint16(AT.codeSelector, view.getUint16(X87_CS, true), true);
  v.setUint16(AT.dataSelector, view.getUint16(X87_DS, true), true);
  for (const half of [0, 4]) {
    v.setUint32(AT.instructionPointer + half, view.getUint32(X87_IP + half, true), true);
    v.setUint32(AT.dataPointer + half, view.getUint32(X87_DP + half, true), true);
  }
}

const [VALID, ZERO, SPECIAL, EMPTY] = [0, 1, 2, 3];

/** Zero; special for infinities, NaN, denormal and unsupported numbers. */
function tagOf(view: DataView, at: number): number {
  const exponent = view.getUint16(at + 8, true) & 0x7fff;
  const [low, high] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
  if (exponent === 0 && low === 0 && high === 0) return ZERO;
  return exponent === 0 || exponent === 0x7fff || high < 0x8000_0000 ? SPECIAL : VALID;
}
