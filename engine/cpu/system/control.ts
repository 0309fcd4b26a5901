import { exception, VECTOR } from '../exception.js';
import { DR6, DR7 } from '../interpreter/debug-matches.js';
import { isCanonical } from './paging.js';
import { CR0, CR4, EFER, has, isLongMode, MSR } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** Control registers and MSRs: APM volume 2, chapters 3 and appendix A. */

const CS = 1;
const FS = 4;
const GS = 5;
const CR4_KNOWN = Object.values(CR4).reduce((sum, bit) => sum | bit, 0);
const gp0 = () => exception(VECTOR.GP, { errorCode: 0 });

export function readControl(v: Vcpu, n: number): bigint {
  const { state } = v;
  switch (n) {
    case 0:
      return BigInt(state.cr0 >>> 0);
    case 2:
      return state.cr2;
    case 3:
      return state.cr3;
    case 4:
      return BigInt(state.cr4 >>> 0);
    default:
      return BigInt(state.cr8);
  }
}

export function setControl(v: Vcpu, n: number, value: bigint): void {
  const { state } = v;
  switch (n) {
    case 0:
      setCr0(v, value);
      break;
    case 2:
      state.cr2 = value;
      return;
    case 3:
      // Bit 63 says "do not flush" where there are PCIDs: flushing all the same is allowed.
      state.cr3 = has(state.cr4, CR4.PCIDE) ? value & ~(1n << 63n) : value;
      v.cpu.flushTlb();
      return;
    case 4: {
      const word = Number(value & 0xffff_ffffn);
      if (value >> 32n !== 0n || (word & ~CR4_KNOWN) !== 0) throw gp0();
      if (isLongMode(state) && !has(word, CR4.PAE)) throw gp0();
      if (has(word, CR4.PCIDE) && !has(state.cr4, CR4.PCIDE) && (!isLongMode(state) || (state.cr3 & 0xfffn) !== 0n))
        throw gp0();
      state.cr4 = word;
      // CR4.DE says whether there are breakpoints for ports.
      v.debugChanged();
      break;
    }
    default:
      if (value > 15n) throw gp0();
      state.cr8 = Number(value);
      return;
  }
  v.cpu.flushTlb();
  v.modeChanged();
}

/** Setting PG with EFER.LME enters long mode, clearing it leaves. */
function setCr0(v: Vcpu, value: bigint): void {
  const { state, registers } = v;
  if (value >> 32n !== 0n) throw gp0();
  const word = Number(value) | CR0.ET;
  const paging = has(word, CR0.PG);
  if (paging && !has(word, CR0.PE)) throw gp0();
  const wasPaging = has(state.cr0, CR0.PG);
  if (paging && !wasPaging && has(state.efer, EFER.LME)) {
    // CS.L must be clear and PAE set when long mode is activated.
    if (!has(state.cr4, CR4.PAE) || has(registers.segment(CS).attributes, 0x200)) throw gp0();
    state.efer |= EFER.LMA;
  } else if (!paging && wasPaging) {
    if (v.codeSize === 64) throw gp0();
    state.efer &= ~EFER.LMA;
  }
  state.cr0 = word;
}

export function readMsr(v: Vcpu, number: number): bigint {
  const { state, registers } = v;
  switch (number) {
    case MSR.TSC:
      return v.timeStamp;
    case MSR.EFER:
      return BigInt(state.efer);
    case MSR.FS_BASE:
      return registers.segment(FS).base;
    case MSR.GS_BASE:
      return registers.segment(GS).base;
    default: {
      const value = state.msrs.get(number);
      if (value === undefined && !PLAIN_MSRS.includes(number)) throw gp0();
      return value ?? 0n;
    }
  }
}

/** MSRs that only keep a value here; the machine adds its own to `msrs`. */
const PLAIN_MSRS: readonly number[] = [
  MSR.SYSENTER_CS,
  MSR.SYSENTER_ESP,
  MSR.SYSENTER_EIP,
  MSR.PAT,
  MSR.STAR,
  MSR.LSTAR,
  MSR.CSTAR,
  MSR.SFMASK,
  MSR.KERNEL_GS_BASE,
  MSR.TSC_AUX,
];
const ADDRESS_MSRS: readonly number[] = [
  MSR.LSTAR,
  MSR.CSTAR,
  MSR.KERNEL_GS_BASE,
  MSR.FS_BASE,
  MSR.GS_BASE,
  MSR.SYSENTER_ESP,
  MSR.SYSENTER_EIP,
];

/** Bits of DR6 and DR7 that are always one, and that software can write. */
const DR6_BITS = { fixed: 0xffff_0ff0, writable: 0xe00f } as const;
const DR7_BITS = { fixed: 0x400, reserved: 0xd000 } as const;

/** With DR7.GD every access to a debug register is #DB with DR6.BD: APM volume 2, 13.1.1.4. */
function checkGeneralDetect({ state }: Vcpu): void {
  if ((Number(state.debug[7] ?? 0n) & DR7.generalDetect) !== 0) throw exception(VECTOR.DB, { debug: DR6.BD });
}

export function readDebug(v: Vcpu, n: number): bigint {
  const number = debugNumber(v, n);
  checkGeneralDetect(v);
  return v.state.debug[number] ?? 0n;
}

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE forbids them. */
export function debugNumber(v: Vcpu, n: number): number {
  if (n !== 4 && n !== 5) return n;
  if (has(v.state.cr4, CR4.DE)) throw exception(VECTOR.UD);
  return n + 2;
}

export function setDebug(v: Vcpu, n: number, value: bigint): void {
  const { debug } = v.state;
  const number = debugNumber(v, n);
  checkGeneralDetect(v);
  if (number >= 6 && value >> 32n !== 0n) throw gp0();
  const word = Number(value & 0xffff_ffffn);
  if (number === 6) debug[6] = BigInt(((word & DR6_BITS.writable) | DR6_BITS.fixed) >>> 0);
  else if (number === 7) debug[7] = BigInt(((word & ~DR7_BITS.reserved) | DR7_BITS.fixed) >>> 0);
  else debug[number] = value;
  v.debugChanged();
}

export function writeMsr(v: Vcpu, number: number, value: bigint): void {
  const { state, registers } = v;
  if (ADDRESS_MSRS.includes(number) && !isCanonical(value)) throw gp0();
  switch (number) {
    case MSR.EFER: {
      const known = EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE | EFER.SVME;
      const word = Number(value & 0xffff_ffffn);
      if (value >> 32n !== 0n || (word & ~known) !== 0) throw gp0();
      // LME cannot change while paging is on; LMA is the processor's.
      if (has(state.cr0, CR0.PG) && has(word ^ state.efer, EFER.LME)) throw gp0();
      state.efer = (word & ~EFER.LMA) | (state.efer & EFER.LMA);
      v.cpu.flushTlb();
      return;
    }
    case MSR.TSC:
      state.tscOffset += value - v.timeStamp;
      return;
    case MSR.FS_BASE:
      registers.setSegment(FS, { ...registers.segment(FS), base: value });
      return;
    case MSR.GS_BASE:
      registers.setSegment(GS, { ...registers.segment(GS), base: value });
      return;
    default:
      if (!state.msrs.has(number) && !PLAIN_MSRS.includes(number)) throw gp0();
      state.msrs.set(number, value);
  }
}
