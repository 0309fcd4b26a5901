import type { Instruction } from '../decoder/instruction.js';
import { exception, VECTOR } from '../exception.js';
import { MXCSR } from '../state/layout.js';
import {
  effectiveOffset,
  probeByte,
  readBytes,
  readMemory,
  segmentOffset,
  writeBytes,
  writeMemory,
} from './operands.js';
import { CR0, CR4, has } from './system-state.js';
import type { Vcpu } from './vcpu.js';
import { loadControl, loadRegisters, storeRegisters } from './x87/environment.js';
import { type Pointer, X87Registers } from './x87/registers.js';

/** MXCSR, XCR0 and the 512-byte image of FXSAVE: APM volume 2, chapter 11. */

const GP0 = () => exception(VECTOR.GP, { errorCode: 0 });
/** Bits that exist: all of the lower half, and MM. */
const MXCSR_MASK = 0x2_ffff;

function setMxcsr(v: Vcpu, value: number): void {
  if ((value & ~MXCSR_MASK) !== 0) throw GP0();
  v.cpu.view.setUint32(MXCSR, value, true);
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

export function storeMxcsr(v: Vcpu, i: Instruction): void {
  checkVectors(v);
  writeMemory(v, i, 4, BigInt(v.cpu.view.getUint32(MXCSR, true)));
}

/** Where things lie in the image. */
const IMAGE = {
  size: 512,
  control: 0,
  status: 2,
  tag: 4,
  opcode: 6,
  instruction: 8,
  data: 16,
  mxcsr: 24,
  mask: 28,
  x87: 32,
  xmm: 160,
} as const;

/** Alignment comes first, then the image's last byte: the order in which processors of AMD find page faults. */
function checkImage(v: Vcpu, i: Instruction, access: 'read' | 'write'): void {
  if ((v.state.cr0 & (CR0.EM | CR0.TS)) !== 0) throw exception(VECTOR.NM);
  const first = segmentOffset(v, i.segment, effectiveOffset(v, i), 1, access === 'write');
  if ((first & 15n) !== 0n) throw GP0();
  probeByte(v, i, IMAGE.size - 1, access);
}

/** XMM8 to XMM15 exist in 64-bit mode only. */
const xmmCount = (v: Vcpu): number => (v.codeSize === 64 ? 16 : 8);

/** Pointers have 64 bits with REX.W, else 32 and the selector. */
function storePointer(image: DataView, at: number, { offset, selector }: Pointer, wide: boolean): void {
  image.setBigUint64(at, wide ? offset : BigInt.asUintN(32, offset) | (BigInt(selector) << 32n), true);
}
function loadPointer(image: DataView, at: number, wide: boolean): Pointer {
  const value = image.getBigUint64(at, true);
  // As wide as linear addresses are here.
  return wide
    ? { offset: BigInt.asUintN(64, BigInt.asIntN(48, value)), selector: 0 }
    : { offset: BigInt.asUintN(32, value), selector: image.getUint16(at + 4, true) };
}

/** The image up to the last XMM register there is; `wide` as with REX.W. */
export function unitImage(v: Vcpu, wide: boolean): Uint8Array {
  const image = new Uint8Array(IMAGE.xmm + 16 * xmmCount(v));
  const view = new DataView(image.buffer);
  const r = new X87Registers(v.cpu.view);
  view.setUint16(IMAGE.control, r.control, true);
  view.setUint16(IMAGE.status, r.status, true);
  view.setUint8(IMAGE.tag, r.tag);
  // Processors of AMD tell where the last instruction was only while its exception is pending.
  if (r.pending) {
    view.setUint16(IMAGE.opcode, r.opcode, true);
    storePointer(view, IMAGE.instruction, r.instruction, wide);
    storePointer(view, IMAGE.data, r.data, wide);
  }
  view.setUint32(IMAGE.mxcsr, v.cpu.view.getUint32(MXCSR, true), true);
  view.setUint32(IMAGE.mask, MXCSR_MASK, true);
  storeRegisters(r, view, IMAGE.x87, 16);
  for (let n = 0; n < xmmCount(v); n++) image.set(v.registers.xmm(n), IMAGE.xmm + 16 * n);
  return image;
}

/** Loads an image; #GP(0) for MXCSR bits that do not exist. */
export function loadUnitImage(v: Vcpu, image: Uint8Array, wide: boolean): void {
  const view = new DataView(image.buffer, image.byteOffset);
  setMxcsr(v, view.getUint32(IMAGE.mxcsr, true));
  const r = new X87Registers(v.cpu.view);
  loadControl(r, view.getUint16(IMAGE.control, true));
  r.status = view.getUint16(IMAGE.status, true);
  r.tag = view.getUint8(IMAGE.tag);
  r.opcode = view.getUint16(IMAGE.opcode, true);
  r.instruction = loadPointer(view, IMAGE.instruction, wide);
  r.data = loadPointer(view, IMAGE.data, wide);
  loadRegisters(r, view, IMAGE.x87, 16);
  for (let n = 0; n < xmmCount(v); n++)
    v.registers.xmm(n).set(image.subarray(IMAGE.xmm + 16 * n, IMAGE.xmm + 16 * n + 16));
}

/** What lies behind the XMM registers in memory stays. */
export function saveImage(v: Vcpu, i: Instruction): void {
  checkImage(v, i, 'write');
  writeBytes(v, i, 16, unitImage(v, i.operandSize === 8));
}

export function restoreImage(v: Vcpu, i: Instruction): void {
  checkImage(v, i, 'read');
  loadUnitImage(v, readBytes(v, i, 16, IMAGE.size), i.operandSize === 8);
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
