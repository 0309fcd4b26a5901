import { view } from '../../engine/bytes.js';
import { CR0, CR4, EFER } from '../../engine/cpu/system/system-state.js';
import type { Machine } from '../../engine/machine.js';
import { SEV_FEATURES, VMSA_SEGMENT_PARTS, VMSA_SEGMENTS } from '../../engine/spec/vmsa-layout.js';
import {
  CONTROL,
  FLAGS,
  GENERAL,
  MSRS,
  MXCSR,
  type Register,
  registerByName,
  registerValue,
  SEGMENT_NAMES,
  ST_OFFSET,
  setRegister,
  X87,
  XMM_OFFSET,
} from '../guest/registers.js';
import { imageField, liveVcpu, type VcpuImage, vcpuImage } from '../guest/vcpu-image.js';
import { virtualReference } from '../memory-reference.js';
import { type Member, member, type View } from './view.js';

/** Registers of a vCPU. Each view reads the vCPU when it is unfolded, so that a changed register shows at once. */
export interface RegisterGroup {
  readonly name: string;
  readonly members: () => readonly Member[];
}

export function registerGroups(machine: Machine, index: number): readonly RegisterGroup[] {
  const group = (name: string, members: (image: VcpuImage) => readonly Member[]): RegisterGroup => ({
    name,
    members: () => {
      const image = vcpuImage(machine, index);
      return image ? members(image) : [];
    },
  });
  const plain = (registers: readonly Register[]) => (image: VcpuImage) =>
    registers.map((register) => member(register.name, registerView(machine, image, register)));
  return [
    group('General registers', plain(GENERAL)),
    group('Flags', (image) => flagMembers(machine, image)),
    group('Segments', segmentMembers),
    group('Control registers', plain(CONTROL)),
    group('MSRs', (image) => [...plain(MSRS)(image), ...otherMsrs(machine, index)]),
    group('Vectors', (image) => [...xmmMembers(image), ...plain([MXCSR])(image)]),
    group('x87', (image) => [...plain(X87)(image), ...stackMembers(image)]),
  ];
}

/** Named as in expressions: rax, rip, cr3, cs, xmm0. Undefined for a name that is no register. */
export function registerNamed(machine: Machine, index: number, name: string): View | undefined {
  const wanted = name.toLowerCase();
  const register = registerByName(wanted);
  const segment = SEGMENT_NAMES.find((known) => known === wanted);
  const xmm = /^xmm(\d|1[0-5])$/.exec(wanted);
  if (!register && !segment && !xmm) return undefined;
  const image = vcpuImage(machine, index);
  if (!image) return undefined;
  if (register) return registerView(machine, image, register);
  if (segment) return segmentView(image, segment);
  return xmmView(image, Number(xmm?.[1] ?? 0));
}

function registerView(machine: Machine, image: VcpuImage, register: Register): View {
  const value = registerValue(image, register);
  const isSettable = register.set !== undefined;
  return {
    text: paddedHex(value, register.size),
    type: `${register.size * 8} bits`,
    scalar: value,
    ...(isSettable && register.name !== 'rflags' ? { memory: virtualReference(image.index, value) } : {}),
    ...(isSettable ? { assign: (next) => setRegister(machine, image.index, register, next) } : {}),
    ...bitsOf(machine, image, register, value),
  };
}

const BITS: Readonly<Record<string, Readonly<Record<string, number>>>> = { cr0: CR0, cr4: CR4, efer: EFER };

/** Registers that are sets of bits can be unfolded into them, and name those that are set. */
function bitsOf(machine: Machine, image: VcpuImage, { name }: Register, value: bigint): Partial<View> {
  if (name === 'rflags') {
    const set = FLAGS.filter(({ bit, width }) => width === 1 && ((value >> BigInt(bit)) & 1n) !== 0n);
    const names = set.map((flag) => flag.name).join(' ');
    return { text: `${paddedHex(value, 8)} ${names}`.trimEnd(), members: () => flagMembers(machine, image) };
  }
  const bits =
    name === 'sev_features'
      ? SEV_FEATURES.map(({ name: feature, bit }) => [feature, 1n << BigInt(bit)] as const)
      : Object.entries(BITS[name] ?? {}).map(([bit, mask]) => [bit, BigInt(mask)] as const);
  if (bits.length === 0) return {};
  const set = bits.filter(([, mask]) => (value & mask) !== 0n).map(([bit]) => bit);
  return {
    text: `${paddedHex(value, 8)} ${set.join(' ')}`.trimEnd(),
    members: () => bits.map(([bit, mask]) => member(bit, bitView((value & mask) !== 0n ? 1n : 0n))),
  };
}

function bitView(value: bigint, doc?: string): View {
  return { text: doc ? `${value} (${doc})` : String(value), type: 'bit', scalar: value };
}

function flagMembers(machine: Machine, image: VcpuImage): readonly Member[] {
  const flags = imageField(image, 'rflags');
  const register = registerByName('rflags');
  return FLAGS.map(({ name, bit, width, doc }) => {
    const mask = (1n << BigInt(width)) - 1n;
    const assign = (next: bigint): boolean => {
      // Of the moment in which it is set, not of the one in which it was shown.
      const now = vcpuImage(machine, image.index);
      if (!register || !now) return false;
      const rest = imageField(now, 'rflags') & ~(mask << BigInt(bit));
      return setRegister(machine, image.index, register, rest | ((next & mask) << BigInt(bit)));
    };
    return member(name, { ...bitView((flags >> BigInt(bit)) & mask, doc), assign });
  });
}

function segmentMembers(image: VcpuImage): readonly Member[] {
  return SEGMENT_NAMES.map((name) => member(name, segmentView(image, name)));
}

const TABLES: readonly string[] = ['gdtr', 'idtr'];

function segmentView(image: VcpuImage, name: (typeof SEGMENT_NAMES)[number]): View {
  const v = view(image.bytes);
  const at = VMSA_SEGMENTS[name];
  const [selector, attributes] = [v.getUint16(at, true), v.getUint16(at + 2, true)];
  const [limit, base] = [v.getUint32(at + 4, true), v.getBigUint64(at + 8, true)];
  const range = `base ${paddedHex(base, 8)}, limit ${paddedHex(BigInt(limit), 4)}`;
  const isTable = TABLES.includes(name);
  const text = isTable ? range : `${paddedHex(BigInt(selector), 2)} ${range}, ${attributesText(attributes)}`;
  const parts: Readonly<Record<string, bigint>> = {
    selector: BigInt(selector),
    attrib: BigInt(attributes),
    limit: BigInt(limit),
    base,
  };
  return {
    text,
    type: isTable ? 'descriptor table' : 'segment',
    scalar: isTable ? base : BigInt(selector),
    members: () =>
      VMSA_SEGMENT_PARTS.filter((part) => !isTable || part.offset >= 4).map((part) => {
        const value = parts[part.name] ?? 0n;
        return member(part.name, { text: paddedHex(value, part.size), type: 'number', scalar: value });
      }),
  };
}

/** `code 64-bit DPL 0`, `data DPL 3`, `not present` */
function attributesText(attributes: number): string {
  if ((attributes & 0x80) === 0) return 'not present';
  const dpl = `DPL ${(attributes >> 5) & 3}`;
  if ((attributes & 0x10) === 0) return `system type ${attributes & 15} ${dpl}`;
  const bits = (attributes & 0x200) !== 0 ? '64-bit' : (attributes & 0x400) !== 0 ? '32-bit' : '16-bit';
  if ((attributes & 8) !== 0) return `code ${bits} ${dpl}`;
  return `data ${(attributes & 2) === 0 ? 'read-only ' : ''}${dpl}`;
}

/** MSRs that only the processor keeps: the VMSA has no field for them. */
function otherMsrs(machine: Machine, index: number): readonly Member[] {
  const live = liveVcpu(machine, index);
  const ghcb = live ? machine.core?.ghcb : undefined;
  return ghcb === undefined ? [] : [member('ghcb', { text: paddedHex(ghcb, 8), type: '64 bits', scalar: ghcb })];
}

function xmmMembers(image: VcpuImage): readonly Member[] {
  return Array.from({ length: 16 }, (_, n) => member(`xmm${n}`, xmmView(image, n)));
}

function xmmView({ bytes }: VcpuImage, n: number): View {
  const lanes = view(bytes);
  const at = XMM_OFFSET + 16 * n;
  const [low, high] = [lanes.getBigUint64(at, true), lanes.getBigUint64(at + 8, true)];
  const whole = (high << 64n) | low;
  const number = (value: number): View => ({ text: String(value), type: 'floating point' });
  return {
    text: paddedHex(whole, 16),
    type: '128 bits',
    scalar: whole,
    members: () => [
      member('u64_0', { text: paddedHex(low, 8), type: 'number', scalar: low }),
      member('u64_1', { text: paddedHex(high, 8), type: 'number', scalar: high }),
      member('f64_0', number(lanes.getFloat64(at, true))),
      member('f64_1', number(lanes.getFloat64(at + 8, true))),
      ...[0, 1, 2, 3].map((lane) => member(`f32_${lane}`, number(lanes.getFloat32(at + 4 * lane, true)))),
    ],
  };
}

function stackMembers(image: VcpuImage): readonly Member[] {
  const v = view(image.bytes);
  return Array.from({ length: 8 }, (_, n) => {
    const at = ST_OFFSET + 10 * n;
    const whole = (BigInt(v.getUint16(at + 8, true)) << 64n) | v.getBigUint64(at, true);
    return member(`st${n}`, { text: paddedHex(whole, 10), type: '80 bits', scalar: whole });
  });
}

/** All digits of the register, so that columns line up. */
export function paddedHex(value: bigint, bytes: number): string {
  return `0x${value.toString(16).padStart(bytes * 2, '0')}`;
}
