import { type Instruction, OperandPlace, Segment } from '../decoder/instruction.js';
import { exception, VECTOR } from '../exception.js';
import { RFLAGS } from '../semantics/flags.js';
import { segmentOffset, setRegister } from './operands.js';
import { has, isProtected } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** IN, OUT, INS, OUTS, with the permission bitmap of the task state segment: APM volume 2, section 12.2.5. */

/** The machine's ports; a guest under SEV-ES gets #VC before it comes to them. */
export interface Ports {
  read(port: number, bytes: number): number;
  write(port: number, bytes: number, value: number): void;
}

const [RAX, RCX, RDX, RSI, RDI] = [0, 1, 2, 6, 7];

const TR = 7;
/** Types of a 32-bit or 64-bit task state segment, available and busy: only they have a bitmap. */
const WIDE_TSS = [9, 11];
/** Offset of the bitmap's offset in the task state segment. */
const BITMAP_BASE = 0x66;

/** Above IOPL every byte of the access needs a clear bit; the bitmap ends with the segment. */
export function checkPermission(v: Vcpu, port: number, bytes: number): void {
  if (!isProtected(v.state) || v.state.cpl <= ((v.registers.flags >> 12) & 3)) return;
  const tss = v.registers.segment(TR);
  const refused = exception(VECTOR.GP, { errorCode: 0 });
  if (!WIDE_TSS.includes(tss.attributes & 0x1f) || tss.limit < BITMAP_BASE + 1) throw refused;
  const at = Number(v.readLinear(tss.base + BigInt(BITMAP_BASE), 2, true)) + (port >> 3);
  if (at + 1 > tss.limit) throw refused;
  const bits = Number(v.readLinear(tss.base + BigInt(at), 2, true)) >> (port & 7);
  if ((bits & ((1 << bytes) - 1)) !== 0) throw refused;
}

function portsOf(v: Vcpu, port: number, bytes: number): Ports | undefined {
  checkPermission(v, port, bytes);
  v.cpu.portAccess(port, bytes);
  return v.ports;
}

export function portNumber(v: Vcpu, i: Instruction, n: 0 | 1): number {
  return i.operands[n].place === OperandPlace.immediate ? i.immediate & 0xff : v.registers.get32(RDX) & 0xffff;
}

export function input(v: Vcpu, i: Instruction): boolean {
  const { size } = i.operands[0];
  const port = portNumber(v, i, 1);
  const ports = portsOf(v, port, size);
  if (!ports) return false;
  setRegister(v, RAX, size, BigInt(ports.read(port, size) >>> 0));
  return true;
}

export function output(v: Vcpu, i: Instruction): boolean {
  const { size } = i.operands[1];
  const port = portNumber(v, i, 0);
  const ports = portsOf(v, port, size);
  if (!ports) return false;
  ports.write(port, size, Number(BigInt.asUintN(size * 8, v.registers.get(RAX))));
  return true;
}

/** Repeats with registers committed for each element, so that a fault can be taken between two. */
function repeat(v: Vcpu, i: Instruction, index: number, element: (offset: bigint) => void): void {
  const { registers } = v;
  const bytes = i.addressSize / 8;
  // REX.W changes nothing: a port has at most 32 bits.
  const size = Math.min(i.operandSize, 4);
  const step = BigInt(has(registers.flags, RFLAGS.DF) ? -size : size);
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
  const port = v.registers.get32(RDX) & 0xffff;
  const size = Math.min(i.operandSize, 4);
  const ports = portsOf(v, port, size);
  if (!ports) return false;
  repeat(v, i, RDI, (offset) => {
    const at = segmentOffset(v, Segment.ES, offset, size, true);
    // The page is checked before the device gives a byte away.
    v.cpu.dataOffset(at, 'write', 1);
    v.writeLinear(at, size, BigInt(ports.read(port, size) >>> 0));
  });
  return true;
}

export function outputString(v: Vcpu, i: Instruction): boolean {
  const port = v.registers.get32(RDX) & 0xffff;
  const size = Math.min(i.operandSize, 4);
  const ports = portsOf(v, port, size);
  if (!ports) return false;
  repeat(v, i, RSI, (offset) => {
    const at = segmentOffset(v, i.segment, offset, size, false);
    ports.write(port, size, Number(v.readLinear(at, size)));
  });
  return true;
}
