import { type Instruction, OperandPlace, Segment } from '../decoder/instruction.js';
import { exception, VECTOR } from '../exception.js';
import { RFLAGS } from '../semantics/flags.js';
import { segmentOffset, setRegister } from './operands.js';
import { has, isProtected } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** IN, OUT, INS, OUTS. The permission bitmap of the task state segment is not looked at: above IOPL it is #GP. */

/** The machine's ports; a guest under SEV-ES gets #VC before it comes to them. */
export interface Ports {
  read(port: number, bytes: number): number;
  write(port: number, bytes: number, value: number): void;
}

const [RAX, RCX, RDX, RSI, RDI] = [0, 1, 2, 6, 7];

function portsOf(v: Vcpu): Ports | undefined {
  if (isProtected(v.state) && v.state.cpl > ((v.registers.flags >> 12) & 3))
    throw exception(VECTOR.GP, { errorCode: 0 });
  return v.ports;
}

function portNumber(v: Vcpu, i: Instruction, n: 0 | 1): number {
  return i.operands[n].place === OperandPlace.immediate ? i.immediate & 0xff : v.registers.get32(RDX) & 0xffff;
}

export function input(v: Vcpu, i: Instruction): boolean {
  const ports = portsOf(v);
  if (!ports) return false;
  const { size } = i.operands[0];
  setRegister(v, RAX, size, BigInt(ports.read(portNumber(v, i, 1), size) >>> 0));
  return true;
}

export function output(v: Vcpu, i: Instruction): boolean {
  const ports = portsOf(v);
  if (!ports) return false;
  const { size } = i.operands[1];
  const value = BigInt.asUintN(size * 8, v.registers.get(RAX));
  ports.write(portNumber(v, i, 0), size, Number(value));
  return true;
}

/** Repeats with registers committed for each element, so that a fault can be taken between two. */
function repeat(v: Vcpu, i: Instruction, index: number, element: (offset: bigint) => void): void {
  const { registers } = v;
  const bytes = i.addressSize / 8;
  const step = BigInt(has(registers.flags, RFLAGS.DF) ? -i.operandSize : i.operandSize);
  const mask = (1n << BigInt(i.addressSize)) - 1n;
  for (;;) {
    const count = registers.get(RCX) & mask;
    if (i.repeat !== 0 && count === 0n) return;
    const offset = registers.get(index) & mask;
    element(offset);
    setRegister(v, index, bytes, offset + step);
    if (i.repeat === 0) return;
    setRegister(v, RCX, bytes, count - 1n);
  }
}

export function inputString(v: Vcpu, i: Instruction): boolean {
  const ports = portsOf(v);
  if (!ports) return false;
  const port = v.registers.get32(RDX) & 0xffff;
  const size = Math.min(i.operandSize, 4);
  repeat(v, i, RDI, (offset) => {
    const at = segmentOffset(v, Segment.ES, offset, size, true);
    // The page is checked before the device gives a byte away.
    v.cpu.dataOffset(at, 'write', 1);
    v.writeLinear(at, size, BigInt(ports.read(port, size) >>> 0));
  });
  return true;
}

export function outputString(v: Vcpu, i: Instruction): boolean {
  const ports = portsOf(v);
  if (!ports) return false;
  const port = v.registers.get32(RDX) & 0xffff;
  const size = Math.min(i.operandSize, 4);
  repeat(v, i, RSI, (offset) => {
    const at = segmentOffset(v, i.segment, offset, size, false);
    ports.write(port, size, Number(v.readLinear(at, size)));
  });
  return true;
}
