import { view } from '../../engine/bytes.js';
import { VMSA_AT, vmsaOffset } from '../../engine/cpu/svm/vmsa-state.js';
import type { Vcpu } from '../../engine/cpu/system/vcpu.js';
import type { Machine } from '../../engine/machine.js';
import { liveVcpu, patchVmsa, type VcpuImage } from './vcpu-image.js';

/** A register of the guest by the name under which it is shown and evaluated. */
export interface Register {
  readonly name: string;
  /** Offset in the VMSA. */
  readonly offset: number;
  readonly size: 1 | 2 | 4 | 8;
  /** Sets it in the processor. Registers without it can only be read. */
  readonly set?: (vcpu: Vcpu, value: bigint) => void;
}

const GENERAL_NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];
/** Bits of RFLAGS that the processor keeps; bit 1 is always set. */
const FLAGS_MASK = 0x3f_7fd5n;

const general = (name: string, number: number): Register => ({
  name,
  offset: vmsaOffset(name),
  size: 8,
  set: ({ registers }, value) => registers.set(number, value),
});

export const GENERAL: readonly Register[] = [
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'].map((name) => general(name, GENERAL_NAMES.indexOf(name))),
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((n) => general(`r${n}`, n)),
  {
    name: 'rip',
    offset: vmsaOffset('rip'),
    size: 8,
    set: ({ registers }, value) => {
      registers.rip = value;
    },
  },
  {
    name: 'rflags',
    offset: vmsaOffset('rflags'),
    size: 8,
    set: (vcpu, value) => {
      vcpu.registers.flags = Number((value & FLAGS_MASK) | 2n);
      vcpu.modeChanged();
    },
  },
];

const field = (name: string, size: Register['size'] = 8, vmsa = name): Register => ({
  name,
  offset: vmsaOffset(vmsa),
  size,
});

export const CONTROL: readonly Register[] = [
  ...['cr0', 'cr2', 'cr3', 'cr4'].map((name) => field(name)),
  { name: 'cr8', offset: VMSA_AT.vintrCtrl, size: 1 },
  field('efer'),
  field('xcr0'),
  field('cpl', 1),
  field('vmpl', 1),
  ...['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'].map((name) => field(name)),
];

export const MSRS: readonly Register[] = [
  field('star'),
  field('lstar'),
  field('cstar'),
  field('sfmask'),
  field('fs_base', 8, 'fs.base'),
  field('gs_base', 8, 'gs.base'),
  field('kernel_gs_base', 8, 'kernel-gs-base'),
  field('sysenter_cs', 8, 'sysenter-cs'),
  field('sysenter_esp', 8, 'sysenter-esp'),
  field('sysenter_eip', 8, 'sysenter-eip'),
  field('pat', 8, 'g-pat'),
  field('tsc_aux', 4, 'tsc-aux'),
  field('xss'),
  field('debugctl', 8, 'dbgctl'),
  field('sev_features', 8, 'sev-features'),
];

export const SEGMENT_NAMES = ['cs', 'ss', 'ds', 'es', 'fs', 'gs', 'ldtr', 'tr', 'gdtr', 'idtr'] as const;
export const MXCSR: Register = field('mxcsr', 4);
export const X87: readonly Register[] = [
  field('fcw', 2, 'x87-fcw'),
  field('fsw', 2, 'x87-fsw'),
  field('ftw', 2, 'x87-ftw'),
];
/** ST0 to ST7 in the VMSA, 10 bytes each. */
export const ST_OFFSET = 0x420;
export const XMM_OFFSET = VMSA_AT.xmm;

const ALL: ReadonlyMap<string, Register> = new Map(
  [...GENERAL, ...CONTROL, ...MSRS, MXCSR, ...X87].map((register) => [register.name, register]),
);

export function registerByName(name: string): Register | undefined {
  return ALL.get(name.toLowerCase());
}

export const REGISTER_NAMES: readonly string[] = [...ALL.keys()];

export function registerValue({ bytes }: VcpuImage, { offset, size }: Register): bigint {
  const v = view(bytes);
  switch (size) {
    case 1:
      return BigInt(v.getUint8(offset));
    case 2:
      return BigInt(v.getUint16(offset, true));
    case 4:
      return BigInt(v.getUint32(offset, true));
    case 8:
      return v.getBigUint64(offset, true);
  }
}

/** False if the vCPU has no state that could be changed. */
export function setRegister(machine: Machine, index: number, register: Register, value: bigint): boolean {
  const unsigned = BigInt.asUintN(64, value);
  const live = liveVcpu(machine, index);
  if (!live) return patchVmsa(machine, index, register.offset, unsigned, register.size);
  if (!register.set) return false;
  register.set(live, unsigned);
  return true;
}

export interface FlagField {
  readonly name: string;
  readonly bit: number;
  readonly width: number;
  readonly doc: string;
}

const flag = (name: string, bit: number, doc: string, width = 1): FlagField => ({ name, bit, width, doc });

/** RFLAGS, APM volume 1, 3.1.4 and volume 2, 3.1.6. */
export const FLAGS: readonly FlagField[] = [
  flag('CF', 0, 'carry'),
  flag('PF', 2, 'parity'),
  flag('AF', 4, 'auxiliary carry'),
  flag('ZF', 6, 'zero'),
  flag('SF', 7, 'sign'),
  flag('TF', 8, 'single-step trap'),
  flag('IF', 9, 'interrupts enabled'),
  flag('DF', 10, 'strings go down'),
  flag('OF', 11, 'overflow'),
  flag('IOPL', 12, 'I/O privilege level', 2),
  flag('NT', 14, 'nested task'),
  flag('RF', 16, 'resume'),
  flag('VM', 17, 'virtual 8086 mode'),
  flag('AC', 18, 'alignment check, or access to user pages'),
  flag('VIF', 19, 'virtual interrupt flag'),
  flag('VIP', 20, 'virtual interrupt pending'),
  flag('ID', 21, 'CPUID can be used'),
];
