import { FloatKind } from '../../float/float.js';
import { RFLAGS } from '../../semantics/flags.js';
import { readBytes, readMemory, setRegister, writeBytes, writeMemory } from '../operands.js';
import { has, isProtected } from '../system-state.js';
import type { Vcpu } from '../vcpu.js';
import type { X87Context, X87Operation } from './instruction.js';
import { STATUS, type X87Registers } from './registers.js';

/** Control, status and tag words, and the images of FNSTENV and FNSAVE: APM volume 2, section 11.4. */

const RAX = 0;
const MASK_ALL = 0x3f;
/** Bits of the control word that exist; bit 6 reads as one. */
const CONTROL_BITS = 0x1f3f;
const CONTROL_ONES = 0x40;

export function loadControl(r: X87Registers, value: number): void {
  r.control = (value & CONTROL_BITS) | CONTROL_ONES;
}

/** Two bits for each of R0 to R7: valid, zero, special, empty. */
export function fullTag(r: X87Registers): number {
  let tag = 0;
  for (let n = 0; n < 8; n++) {
    const x = r.get(n);
    const special = x.kind !== FloatKind.finite || x.denormal;
    const bits = r.isEmpty(n) ? 3 : x.kind === FloatKind.zero ? 1 : special ? 2 : 0;
    tag |= bits << (2 * ((r.top + n) & 7));
  }
  return tag;
}

/** Only "empty" can be set from outside: the rest follows from what is in the registers. */
export function setFullTag(r: X87Registers, tag: number): void {
  let abridged = 0;
  for (let n = 0; n < 8; n++) if (((tag >> (2 * n)) & 3) !== 3) abridged |= 1 << n;
  r.tag = abridged;
}

type Layout = { readonly bytes: number; readonly wide: boolean; readonly real: boolean };
function layoutOf({ v, i }: X87Context): Layout {
  const wide = i.operandSize !== 2;
  return { bytes: wide ? 28 : 14, wide, real: !isProtected(v.state) || has(v.registers.flags, RFLAGS.VM) };
}

/** The seven words of an environment, each of 16 or 32 bits. */
function environmentWords(r: X87Registers, { wide, real }: Layout): number[] {
  const { instruction, data, opcode } = r;
  const linear = (p: { offset: bigint; selector: number }): number =>
    Number(BigInt.asUintN(32, p.offset + BigInt(p.selector * 16)));
  const low = (p: { offset: bigint }): number => Number(BigInt.asUintN(32, p.offset));
  const words = [r.control, r.status, fullTag(r)].map((word) => (wide ? word | 0xffff_0000 : word));
  if (!real) {
    if (wide)
      return [
        ...words,
        low(instruction),
        instruction.selector | (opcode << 16),
        low(data),
        data.selector | 0xffff_0000,
      ];
    return [...words, low(instruction) & 0xffff, instruction.selector, low(data) & 0xffff, data.selector];
  }
  const [ip, dp] = [linear(instruction), linear(data)];
  if (wide) {
    const high = (at: number): number => ((at >>> 16) & 0xffff) << 12;
    return [...words, (ip & 0xffff) | 0xffff_0000, high(ip) | opcode, (dp & 0xffff) | 0xffff_0000, high(dp)];
  }
  return [...words, ip & 0xffff, ((ip >>> 4) & 0xf000) | opcode, dp & 0xffff, (dp >>> 4) & 0xf000];
}

function environmentImage(context: X87Context, extra: number): Uint8Array {
  const layout = layoutOf(context);
  const image = new Uint8Array(layout.bytes + extra);
  const view = new DataView(image.buffer);
  environmentWords(context.r, layout).forEach((word, n) => {
    if (layout.wide) view.setUint32(4 * n, word >>> 0, true);
    else view.setUint16(2 * n, word & 0xffff, true);
  });
  return image;
}

function loadEnvironment(context: X87Context, image: Uint8Array): void {
  const { r } = context;
  const { wide, real } = layoutOf(context);
  const view = new DataView(image.buffer, image.byteOffset);
  const [control = 0, status = 0, tag = 0, ip = 0, ipHigh = 0, dp = 0, dpHigh = 0] = Array.from(
    { length: 7 },
    (_, n) => (wide ? view.getUint32(4 * n, true) : view.getUint16(2 * n, true)),
  );
  const pointer = (low: number, high: number): { offset: bigint; selector: number } => {
    if (!real) return { offset: BigInt(low), selector: high & 0xffff };
    const top = wide ? (high >>> 12) & 0xffff : high >>> 12;
    return { offset: BigInt((top * 0x1_0000 + (low & 0xffff)) >>> 0), selector: 0 };
  };
  r.instruction = pointer(ip, ipHigh);
  r.data = pointer(dp, dpHigh);
  r.opcode = real ? ipHigh : wide ? ipHigh >>> 16 : 0;
  loadControl(r, control & 0xffff);
  r.status = status & 0xffff;
  setFullTag(r, tag & 0xffff);
}

const REGISTER_BYTES = 10;
const REGISTERS_BYTES = 8 * REGISTER_BYTES;

/** ST(0) to ST(7), ten bytes each. */
export function storeRegisters(r: X87Registers, to: DataView, at: number, stride: number): void {
  for (let n = 0; n < 8; n++) {
    const { significand, signAndExponent } = r.raw(n);
    to.setBigUint64(at + stride * n, significand, true);
    to.setUint16(at + stride * n + 8, signAndExponent, true);
  }
}

/** Which of them are empty is the tag word's business. */
export function loadRegisters(r: X87Registers, from: DataView, at: number, stride: number): void {
  const { tag } = r;
  for (let n = 0; n < 8; n++) {
    const significand = from.getBigUint64(at + stride * n, true);
    r.setRaw(n, { significand, signAndExponent: from.getUint16(at + stride * n + 8, true) });
  }
  r.tag = tag;
}

const storeWord =
  (read: (r: X87Registers) => number): X87Operation =>
  ({ v, i, r }) =>
    writeMemory(v, i, 2, BigInt(read(r)));

const readImage = (v: Vcpu, i: X87Context['i'], bytes: number): Uint8Array => readBytes(v, i, 1, bytes);

/** Instructions that do not wait for a pending exception. */
export const CONTROL: Readonly<Record<string, X87Operation>> = {
  FNINIT: ({ r }) => r.initialise(),
  FNCLEX: ({ r }) => {
    r.status &= ~(MASK_ALL | STATUS.stackFault);
  },
  FNSTCW: storeWord((r) => r.control),
  FNSTSW: storeWord((r) => r.status),
  FNSTSW_AX: ({ v, r }) => setRegister(v, RAX, 2, BigInt(r.status)),
  FNSTENV: (context) => {
    const { v, i, r } = context;
    writeBytes(v, i, 1, environmentImage(context, 0));
    r.control |= MASK_ALL;
  },
  FNSAVE: (context) => {
    const { v, i, r } = context;
    const { bytes } = layoutOf(context);
    const image = environmentImage(context, REGISTERS_BYTES);
    storeRegisters(r, new DataView(image.buffer), bytes, REGISTER_BYTES);
    writeBytes(v, i, 1, image);
    r.initialise();
  },
  // Of the 8087 and the 80287 only.
  FNENI: () => {},
  FNDISI: () => {},
  FNSETPM: () => {},
};

/** Instructions that do. */
export const WAITING_CONTROL: Readonly<Record<string, X87Operation>> = {
  FLDCW: ({ v, i, r }) => loadControl(r, Number(readMemory(v, i, 2))),
  FLDENV: (context) => loadEnvironment(context, readImage(context.v, context.i, layoutOf(context).bytes)),
  FRSTOR: (context) => {
    const { v, i, r } = context;
    const { bytes } = layoutOf(context);
    const image = readImage(v, i, bytes + REGISTERS_BYTES);
    loadEnvironment(context, image);
    loadRegisters(r, new DataView(image.buffer, image.byteOffset), bytes, REGISTER_BYTES);
  },
};
