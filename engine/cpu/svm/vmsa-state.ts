import { view } from '../../bytes.js';
import { VMSA_FIELD_BY_NAME, VMSA_SEGMENTS, type VmsaSegment } from '../../spec/vmsa-layout.js';
import { RFLAGS } from '../semantics/flags.js';
import { GPR, LDTR, MXCSR, RIP, SEGMENT, SEGMENT_SIZE, SEGMENT_TABLE, TR, XMM } from '../state/layout.js';
import { CR0, CR4, EFER, has, isProtected, MSR } from '../system/system-state.js';
import type { Vcpu } from '../system/vcpu.js';
import { SVM_MSR } from './msr-intercepts.js';
import { loadX87, storeX87 } from './vmsa-x87.js';

/**
 * The VMSA and the registers of the processor: VMRUN loads what #VMEXIT saved. Fields that the emulated processor
 * does not use (shadow stacks, IBS, LBR) keep what is in the page. AMD APM volume 2, appendix B, table B-4.
 */

/** All fields that the processor uses lie before this offset. */
export const VMSA_STATE_BYTES = 0x670;

/** Offset of a field by the name in engine/spec/vmsa-layout.ts. */
export function vmsaOffset(name: string): number {
  const field = VMSA_FIELD_BY_NAME.get(name);
  if (!field) throw new Error(`the VMSA has no ${name}`);
  return field.offset;
}

const AT = {
  vmpl: vmsaOffset('vmpl'),
  cpl: vmsaOffset('cpl'),
  efer: vmsaOffset('efer'),
  cr0: vmsaOffset('cr0'),
  cr2: vmsaOffset('cr2'),
  cr3: vmsaOffset('cr3'),
  cr4: vmsaOffset('cr4'),
  dr6: vmsaOffset('dr6'),
  dr7: vmsaOffset('dr7'),
  /** Only with DebugVirtualization: else the host's DR0 to DR3 stay, which KVM leaves zero. */
  dr: ['dr0', 'dr1', 'dr2', 'dr3'].map(vmsaOffset),
  rflags: vmsaOffset('rflags'),
  rip: vmsaOffset('rip'),
  xcr0: vmsaOffset('xcr0'),
  mxcsr: vmsaOffset('mxcsr'),
  sevFeatures: vmsaOffset('sev-features'),
  /** GUEST_TSC_SCALE and GUEST_TSC_OFFSET, with SecureTSC. */
  tscScale: 0x2f0,
  tscOffset: 0x2f8,
  /** VINTR_CTRL: 7:0 V_TPR, 10 INT_SHADOW, 63 BUSY. */
  vintrCtrl: 0x3b8,
  xmm: 0x470,
  /** What the last #VMEXIT told the host. */
  guestExitInfo1: 0x390,
  guestExitInfo2: 0x398,
  guestExitIntInfo: 0x3a0,
  guestNrip: 0x3a8,
  guestExitCode: 0x3c0,
} as const;

export { AT as VMSA_AT };

const INT_SHADOW = 1 << 10;
const V_TPR = 0xff;
const GPR_OFFSETS = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi']
  .map(vmsaOffset)
  .concat([8, 9, 10, 11, 12, 13, 14, 15].map((n) => vmsaOffset(`r${n}`)));

/** In the order of the segment numbers of Registers. */
const SEGMENTS: readonly (readonly [number, VmsaSegment])[] = [
  [0, 'es'],
  [1, 'cs'],
  [2, 'ss'],
  [3, 'ds'],
  [4, 'fs'],
  [5, 'gs'],
  [LDTR, 'ldtr'],
  [TR, 'tr'],
];

const SEGMENT_OFFSETS = SEGMENTS.map(([n, name]) => ({ n, at: VMSA_SEGMENTS[name] }));

/** Objects: to take tuples apart costs an iterator each, and this is done at each exit. */
const MSRS: readonly { readonly msr: number; readonly offset: number; readonly bytes: 4 | 8 }[] = [
  { msr: MSR.PAT, offset: vmsaOffset('g-pat'), bytes: 8 },
  { msr: MSR.STAR, offset: vmsaOffset('star'), bytes: 8 },
  { msr: MSR.LSTAR, offset: vmsaOffset('lstar'), bytes: 8 },
  { msr: MSR.CSTAR, offset: vmsaOffset('cstar'), bytes: 8 },
  { msr: MSR.SFMASK, offset: vmsaOffset('sfmask'), bytes: 8 },
  { msr: MSR.KERNEL_GS_BASE, offset: vmsaOffset('kernel-gs-base'), bytes: 8 },
  { msr: MSR.SYSENTER_CS, offset: vmsaOffset('sysenter-cs'), bytes: 8 },
  { msr: MSR.SYSENTER_ESP, offset: vmsaOffset('sysenter-esp'), bytes: 8 },
  { msr: MSR.SYSENTER_EIP, offset: vmsaOffset('sysenter-eip'), bytes: 8 },
  { msr: MSR.TSC_AUX, offset: vmsaOffset('tsc-aux'), bytes: 4 },
  { msr: SVM_MSR.SPEC_CTRL, offset: 0x2e0, bytes: 8 },
  { msr: SVM_MSR.DEBUGCTL, offset: vmsaOffset('dbgctl'), bytes: 8 },
  { msr: SVM_MSR.LAST_BRANCH_FROM, offset: 0x278, bytes: 8 },
  { msr: SVM_MSR.LAST_BRANCH_TO, offset: 0x280, bytes: 8 },
  { msr: SVM_MSR.LAST_INT_FROM, offset: 0x288, bytes: 8 },
  { msr: SVM_MSR.LAST_INT_TO, offset: 0x290, bytes: 8 },
];

/** SEV_FEATURES. */
export const DEBUG_VIRTUALIZATION = 1n << 5n;
const SECURE_TSC = 1n << 9n;
const hasOwnDebug = (v: DataView): boolean => (v.getBigUint64(AT.sevFeatures, true) & DEBUG_VIRTUALIZATION) !== 0n;

/**
 * Loads the 4096 bytes of a VMSA; the caller flushes what was translated for another state. Throws a CpuStop
 * with a Fault, after all is loaded, where the state needs what the emulated processor does not have.
 */
export function loadVmsa(vcpu: Vcpu, vmsa: Uint8Array): void {
  const { registers, state } = vcpu;
  const v = view(vmsa);
  const u64 = (offset: number): bigint => v.getBigUint64(offset, true);
  for (const [n, offset] of GPR_OFFSETS.entries()) registers.set(n, u64(offset));
  for (const [n, name] of SEGMENTS) {
    const at = VMSA_SEGMENTS[name];
    registers.setSegment(n, {
      selector: v.getUint16(at, true),
      attributes: v.getUint16(at + 2, true),
      limit: v.getUint32(at + 4, true),
      base: u64(at + 8),
    });
  }
  for (const table of ['gdtr', 'idtr'] as const) {
    state[table].limit = v.getUint32(VMSA_SEGMENTS[table] + 4, true);
    state[table].base = u64(VMSA_SEGMENTS[table] + 8);
  }
  state.cr0 = Number(u64(AT.cr0));
  // Real mode has no other privilege.
  state.cpl = isProtected(state) ? (vmsa[AT.cpl] ?? 0) & 3 : 0;
  // LMA follows from LME and PG.
  const efer = Number(u64(AT.efer));
  const long = has(efer, EFER.LME) && has(state.cr0, CR0.PG);
  state.efer = long ? efer | EFER.LMA : efer & ~EFER.LMA;
  state.cr2 = u64(AT.cr2);
  state.cr3 = u64(AT.cr3);
  state.cr4 = Number(u64(AT.cr4));
  state.cr8 = v.getUint32(AT.vintrCtrl, true) & 0xf;
  for (const [n, offset] of AT.dr.entries()) state.debug[n] = hasOwnDebug(v) ? u64(offset) : 0n;
  state.debug[6] = u64(AT.dr6);
  state.debug[7] = u64(AT.dr7);
  registers.rip = u64(AT.rip);
  registers.flags = Number(u64(AT.rflags));
  for (const { msr, offset, bytes } of MSRS) {
    state.msrs.set(msr, bytes === 8 ? u64(offset) : BigInt(v.getUint32(offset, true)));
  }
  const secureTsc = (u64(AT.sevFeatures) & SECURE_TSC) !== 0n;
  state.tscScale = secureTsc ? u64(AT.tscScale) : 1n << 32n;
  state.tscOffset = secureTsc ? u64(AT.tscOffset) : 0n;
  state.xcr0 = Number(u64(AT.xcr0));
  state.shadowAt = (v.getUint32(AT.vintrCtrl, true) & INT_SHADOW) === 0 ? -1 : vcpu.cpu.instructions;
  for (let n = 0; n < 16; n++) registers.xmm(n).set(vmsa.subarray(AT.xmm + 16 * n, AT.xmm + 16 * n + 16));
  loadX87(vcpu, v);
  vcpu.cpu.view.setUint32(MXCSR, v.getUint32(AT.mxcsr, true), true);
  vcpu.debugChanged();
  vcpu.modeChanged();
  checkEmulated(vcpu);
}

const KNOWN_EFER = Object.values(EFER).reduce((sum, bit) => sum | bit, 0);
const KNOWN_CR4 = Object.values(CR4).reduce((sum, bit) => sum | bit, 0);
const KNOWN_XCR0 = 3;
const MXCSR_BITS = 0x2_ffff;

/** State that a guest without the features concerned cannot reach, but that somebody may put into a VMSA. */
function checkEmulated(vcpu: Vcpu): void {
  const { state, registers } = vcpu;
  if (has(registers.flags, RFLAGS.VM)) throw vcpu.missing('virtual-8086 mode (RFLAGS.VM in the VMSA)');
  if ((state.efer & ~KNOWN_EFER) !== 0) throw vcpu.missing('one of the features that EFER in the VMSA has enabled');
  if ((state.cr4 & ~KNOWN_CR4) !== 0) throw vcpu.missing('one of the features that CR4 in the VMSA has enabled');
  if ((state.xcr0 & ~KNOWN_XCR0) !== 0) throw vcpu.missing('state beyond that of SSE (XCR0 in the VMSA)');
  if ((state.msrs.get(SVM_MSR.DEBUGCTL) ?? 0n) !== 0n) throw vcpu.missing('recording of branches (DBGCTL in the VMSA)');
  const mxcsr = vcpu.cpu.view.getUint32(MXCSR, true);
  if ((mxcsr & ~MXCSR_BITS) !== 0) throw vcpu.missing('one of the modes that MXCSR in the VMSA has enabled');
}

/** Without a BigInt on the way: this is done at each exit. */
function copy8(to: DataView, at: number, from: DataView, source: number): void {
  to.setUint32(at, from.getUint32(source, true), true);
  to.setUint32(at + 4, from.getUint32(source + 4, true), true);
}

/** Zero-extended. */
function store32(v: DataView, at: number, value: number): void {
  v.setUint32(at, value >>> 0, true);
  v.setUint32(at + 4, 0, true);
}

/** Saves the state into the page. Between two exits of one vCPU nothing else writes to it. */
export function storeVmsa(vcpu: Vcpu, vmsa: Uint8Array): void {
  const { registers, state } = vcpu;
  const v = view(vmsa);
  const memory = vcpu.cpu.view;
  for (let n = 0; n < 16; n++) copy8(v, GPR_OFFSETS[n] ?? 0, memory, GPR + 8 * n);
  for (const { n, at } of SEGMENT_OFFSETS) {
    const from = SEGMENT_TABLE + SEGMENT_SIZE * n;
    v.setUint16(at, memory.getUint16(from + SEGMENT.selector, true), true);
    v.setUint16(at + 2, memory.getUint16(from + SEGMENT.attributes, true), true);
    v.setUint32(at + 4, memory.getUint32(from + SEGMENT.limit, true), true);
    copy8(v, at + 8, memory, from + SEGMENT.base);
  }
  for (const table of ['gdtr', 'idtr'] as const) {
    v.setUint32(VMSA_SEGMENTS[table] + 4, state[table].limit, true);
    v.setBigUint64(VMSA_SEGMENTS[table] + 8, state[table].base, true);
  }
  vmsa[AT.cpl] = state.cpl;
  store32(v, AT.efer, state.efer);
  store32(v, AT.cr0, state.cr0);
  v.setBigUint64(AT.cr2, state.cr2, true);
  v.setBigUint64(AT.cr3, state.cr3, true);
  store32(v, AT.cr4, state.cr4);
  const vintr = v.getUint32(AT.vintrCtrl, true) & ~(V_TPR | INT_SHADOW);
  v.setUint32(AT.vintrCtrl, vintr | state.cr8 | (vcpu.interruptShadow ? INT_SHADOW : 0), true);
  if (hasOwnDebug(v)) for (const [n, offset] of AT.dr.entries()) v.setBigUint64(offset, state.debug[n] ?? 0n, true);
  v.setBigUint64(AT.dr6, state.debug[6] ?? 0n, true);
  v.setBigUint64(AT.dr7, state.debug[7] ?? 0n, true);
  copy8(v, AT.rip, memory, RIP);
  store32(v, AT.rflags, registers.flags);
  for (const { msr, offset, bytes } of MSRS) {
    const value = state.msrs.get(msr) ?? 0n;
    if (bytes === 8) v.setBigUint64(offset, value, true);
    else v.setUint32(offset, Number(value & 0xffff_ffffn), true);
  }
  store32(v, AT.xcr0, state.xcr0);
  for (let n = 0; n < 256; n += 8) copy8(v, AT.xmm + n, memory, XMM + n);
  storeX87(vcpu, v);
  v.setUint32(AT.mxcsr, vcpu.cpu.view.getUint32(MXCSR, true), true);
}
