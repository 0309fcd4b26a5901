import type { Instruction } from '../decoder/instruction.js';
import { exception, VECTOR } from '../exception.js';
import { RFLAGS } from '../semantics/flags.js';
import { setRegister } from './operands.js';
import { has } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** Decimal adjustment outside of 64-bit mode: APM volume 3. Flags that are not defined stay as they are. */

const RAX = 0;
const { CF, AF, ZF, SF, PF } = RFLAGS;

const al = (v: Vcpu): number => v.registers.get32(RAX) & 0xff;
const ah = (v: Vcpu): number => (v.registers.get32(RAX) >>> 8) & 0xff;

function evenParity(byte: number): boolean {
  const folded = byte ^ (byte >> 4);
  return ((0x6996 >> (folded & 15)) & 1) === 0;
}

function setResult(v: Vcpu, byte: number, others: number, mask: number): void {
  const sign = has(byte, 0x80) ? SF : 0;
  const status = (byte === 0 ? ZF : 0) | sign | (evenParity(byte) ? PF : 0) | others;
  v.registers.flags = (v.registers.flags & ~(ZF | SF | PF | mask)) | status;
}

/** DAA and DAS: both digits of AL. */
export const adjustPacked = (sign: 1 | -1) => (v: Vcpu) => {
  const { flags } = v.registers;
  const before = al(v);
  let value = before;
  let others = 0;
  if ((before & 15) > 9 || has(flags, AF)) {
    value += 6 * sign;
    others |= AF;
    // DAS carries on a borrow out of the low digit too.
    if (sign < 0 && value < 0) others |= CF;
  }
  if (before > 0x99 || has(flags, CF)) {
    value += 0x60 * sign;
    others |= CF;
  }
  setRegister(v, RAX, 1, BigInt(value & 0xff));
  setResult(v, value & 0xff, others, AF | CF);
};

/** AAA and AAS: one digit in AL, carry to AH. */
export const adjustUnpacked = (sign: 1 | -1) => (v: Vcpu) => {
  const { registers } = v;
  const adjust = (al(v) & 15) > 9 || has(registers.flags, AF);
  let ax = registers.get32(RAX) & 0xffff;
  if (adjust) ax = (ax + 0x106 * sign) & 0xffff;
  setRegister(v, RAX, 2, BigInt(ax & 0xff0f));
  registers.flags = (registers.flags & ~(AF | CF)) | (adjust ? AF | CF : 0);
};

export function adjustAfterMultiply(v: Vcpu, i: Instruction): void {
  const base = i.immediate & 0xff;
  if (base === 0) throw exception(VECTOR.DE);
  const low = al(v) % base;
  setRegister(v, RAX, 2, BigInt((Math.floor(al(v) / base) << 8) | low));
  setResult(v, low, 0, 0);
}

export function adjustBeforeDivide(v: Vcpu, i: Instruction): void {
  const low = (al(v) + ah(v) * (i.immediate & 0xff)) & 0xff;
  setRegister(v, RAX, 2, BigInt(low));
  setResult(v, low, 0, 0);
}
