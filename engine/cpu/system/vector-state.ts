import type { Instruction } from '../decoder/instruction.js';
import { exception, VECTOR } from '../exception.js';
import { FLOAT_USED, MXCSR } from '../state/layout.js';
import { readBytes, readMemory, writeBytes, writeMemory } from './operands.js';
import { CR0, CR4, has } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** MXCSR, XCR0 and the 512-byte image of FXSAVE: APM volume 2, chapter 11. */

const GP0 = () => exception(VECTOR.GP, { errorCode: 0 });
const MXCSR_MASK = 0xffff;
/** The bit that lets XMM instructions take operands that are not aligned. */
const MISALIGNED = 0x2_0000;

function setMxcsr(v: Vcpu, value: number): void {
  if (has(value, MISALIGNED)) throw v.missing('operands that are not aligned (MXCSR.MM)');
  if ((value & ~MXCSR_MASK) !== 0) throw GP0();
  v.cpu.view.setUint32(MXCSR, value, true);
  v.cpu.view.setUint32(FLOAT_USED, 0, true);
  v.modeChanged();
}

/** Like every XMM instruction: #UD where the system has not enabled them, #NM where it switches lazily. */
export function checkVectors({ state }: Vcpu): void {
  if (has(state.cr0, CR0.EM) || !has(state.cr4, CR4.OSFXSR)) throw exception(VECTOR.UD);
  if (has(state.cr0, CR0.TS)) throw exception(VECTOR.NM);
}

export function loadMxcsr(v: Vcpu, i: Instruction): void {
  checkVectors(v);
  setMxcsr(v, Number(readMemory(v, i, 4)));
}

/** Arithmetic does not compute the sticky flags, so a guest that looks at them after it would read a wrong value. */
export function storeMxcsr(v: Vcpu, i: Instruction): void {
  checkVectors(v);
  checkFlagsKnown(v);
  writeMemory(v, i, 4, BigInt(v.cpu.view.getUint32(MXCSR, true)));
}

/** Arithmetic does not compute the sticky exception flags: nobody may read them afterwards. */
function checkFlagsKnown(v: Vcpu): void {
  if (v.cpu.view.getUint32(FLOAT_USED, true) === 0) return;
  throw v.missing('the exception flags of MXCSR after floating-point arithmetic');
}

const IMAGE = { size: 512, control: 0, status: 2, tag: 4, mxcsr: 24, mask: 28, x87: 32, xmm: 160 } as const;
const X87_BYTES = 128;

function checkImage(v: Vcpu): void {
  if ((v.state.cr0 & (CR0.EM | CR0.TS)) !== 0) throw exception(VECTOR.NM);
}

/** XMM8 to XMM15 exist in 64-bit mode only. */
const xmmCount = (v: Vcpu): number => (v.codeSize === 64 ? 16 : 8);

/**
 * The last instruction's opcode and addresses are zero, as there is no x87 arithmetic; what lies behind the XMM
 * registers in memory stays.
 */
export function saveImage(v: Vcpu, i: Instruction): void {
  checkImage(v);
  checkFlagsKnown(v);
  const image = new Uint8Array(IMAGE.xmm + 16 * xmmCount(v));
  const view = new DataView(image.buffer);
  const { x87 } = v.state;
  view.setUint16(IMAGE.control, x87.control, true);
  view.setUint16(IMAGE.status, x87.status, true);
  image[IMAGE.tag] = x87.tag;
  view.setUint32(IMAGE.mxcsr, v.cpu.view.getUint32(MXCSR, true), true);
  view.setUint32(IMAGE.mask, MXCSR_MASK, true);
  image.set(x87.registers, IMAGE.x87);
  for (let n = 0; n < xmmCount(v); n++) image.set(v.registers.xmm(n), IMAGE.xmm + 16 * n);
  writeBytes(v, i, 16, image);
}

export function restoreImage(v: Vcpu, i: Instruction): void {
  checkImage(v);
  const image = readBytes(v, i, 16, IMAGE.size);
  const view = new DataView(image.buffer);
  const { x87 } = v.state;
  setMxcsr(v, view.getUint32(IMAGE.mxcsr, true));
  x87.control = view.getUint16(IMAGE.control, true);
  x87.status = view.getUint16(IMAGE.status, true);
  x87.tag = image[IMAGE.tag] ?? 0;
  x87.registers.set(image.subarray(IMAGE.x87, IMAGE.x87 + X87_BYTES));
  for (let n = 0; n < xmmCount(v); n++)
    v.registers.xmm(n).set(image.subarray(IMAGE.xmm + 16 * n, IMAGE.xmm + 16 * n + 16));
}

// --- XCR0 ---

const [RAX, RCX, RDX] = [0, 1, 2];
const XCR0 = { x87: 1, sse: 2, later: 0x2e4 } as const;

function checkOsxsave(v: Vcpu): void {
  if (!has(v.state.cr4, CR4.OSXSAVE)) throw exception(VECTOR.UD);
}

export function readXcr(v: Vcpu): void {
  checkOsxsave(v);
  const { registers } = v;
  if (registers.get32(RCX) === 1) throw v.missing('XGETBV of the components in use (ECX = 1)');
  if (registers.get32(RCX) !== 0) throw GP0();
  registers.set32(RAX, v.state.xcr0);
  registers.set32(RDX, 0);
}

export function writeXcr(v: Vcpu): void {
  checkOsxsave(v);
  const { registers } = v;
  const value = registers.get32(RAX);
  if (registers.get32(RCX) !== 0 || registers.get32(RDX) !== 0 || !has(value, XCR0.x87)) throw GP0();
  if ((value & ~(XCR0.x87 | XCR0.sse | XCR0.later)) !== 0) throw GP0();
  if ((value & XCR0.later) !== 0) throw v.missing('state beyond that of SSE (XCR0)');
  v.state.xcr0 = value;
}
