import type { Instruction } from '../decoder/instruction.js';
import { exception, VECTOR } from '../exception.js';
import { readMemory, setRegister, writeMemory } from './operands.js';
import { CR0, has } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/**
 * The x87 instructions by which firmware and kernels set the unit up. Arithmetic is not here: it returns false,
 * and the core raises the Fault that names it.
 */

const RAX = 0;
const AFTER_INIT = { control: 0x37f, status: 0, tag: 0 } as const;

/** FLDCW, FNSTCW and FNSTSW in memory, by escape byte and ModRM.reg. */
export function x87Control(v: Vcpu, i: Instruction): boolean {
  if ((v.state.cr0 & (CR0.EM | CR0.TS)) !== 0) throw exception(VECTOR.NM);
  const { x87 } = v.state;
  const reg = (i.modrm >> 3) & 7;
  if (i.modrm < 0xc0) {
    if (i.opcode === 0xd9 && reg === 5) x87.control = Number(readMemory(v, i, 2));
    else if (i.opcode === 0xd9 && reg === 7) writeMemory(v, i, 2, BigInt(x87.control));
    else if (i.opcode === 0xdd && reg === 7) writeMemory(v, i, 2, BigInt(x87.status));
    else return false;
    return true;
  }
  const code = (i.opcode << 8) | i.modrm;
  if (code === 0xdbe3) Object.assign(x87, AFTER_INIT);
  else if (code === 0xdbe2) x87.status &= 0x7f00;
  else if (code === 0xdfe0) setRegister(v, RAX, 2, BigInt(x87.status));
  else return false;
  return true;
}

/** FWAIT: only the device-not-available condition matters, as there is no pending arithmetic. */
export function x87Wait(v: Vcpu): void {
  if (has(v.state.cr0, CR0.MP) && has(v.state.cr0, CR0.TS)) throw exception(VECTOR.NM);
}
