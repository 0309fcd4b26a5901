import type { Instruction } from '../decoder/instruction.js';
import { exception, VECTOR } from '../exception.js';
import { RFLAGS } from '../semantics/flags.js';
import type { SegmentState } from '../state/registers.js';
import { ATTRIBUTE } from './segments.js';
import { has, isLongMode, isProtected, MSR } from './system-state.js';
import type { Vcpu } from './vcpu.js';

/** SYSCALL, SYSRET, SYSENTER and SYSEXIT: flat segments without a look at the descriptor tables. APM volume 3. */

const [RCX, RDX, RSP, R11] = [1, 2, 4, 11];
const [CS, SS] = [1, 2];

const flatCode = (selector: number, dpl: number, long: boolean): SegmentState => ({
  selector,
  attributes: 0x89b | (dpl << 5) | (long ? ATTRIBUTE.long : ATTRIBUTE.big),
  limit: 0xffff_ffff,
  base: 0n,
});
const flatStack = (selector: number, dpl: number): SegmentState => ({
  selector,
  attributes: 0xc93 | (dpl << 5),
  limit: 0xffff_ffff,
  base: 0n,
});

export function systemCall(v: Vcpu): void {
  const { registers, state } = v;
  if (!has(state.efer, 1)) throw exception(VECTOR.UD);
  const msr = (n: number): bigint => state.msrs.get(n) ?? 0n;
  const star = msr(MSR.STAR);
  const selector = Number((star >> 32n) & 0xfffcn);
  registers.set(RCX, registers.rip);
  if (isLongMode(state)) {
    const from64 = v.codeSize === 64;
    registers.set(R11, BigInt(registers.flags & ~RFLAGS.RF));
    registers.flags &= ~(Number(msr(MSR.SFMASK) & 0xffff_ffffn) | RFLAGS.RF);
    registers.rip = msr(from64 ? MSR.LSTAR : MSR.CSTAR);
  } else {
    registers.flags &= ~(RFLAGS.IF | RFLAGS.VM | RFLAGS.RF);
    registers.rip = star & 0xffff_ffffn;
  }
  registers.setSegment(CS, flatCode(selector, 0, isLongMode(state)));
  registers.setSegment(SS, flatStack(selector + 8, 0));
  state.cpl = 0;
  v.modeChanged();
}

export function systemReturn(v: Vcpu, i: Instruction): void {
  const { registers, state } = v;
  if (!has(state.efer, 1)) throw exception(VECTOR.UD);
  if (!isProtected(state) || state.cpl !== 0) throw exception(VECTOR.GP, { errorCode: 0 });
  const base = Number(((state.msrs.get(MSR.STAR) ?? 0n) >> 48n) & 0xffffn);
  const to64 = i.operandSize === 8;
  registers.rip = to64 ? registers.get(RCX) : registers.get(RCX) & 0xffff_ffffn;
  registers.setSegment(CS, flatCode((to64 ? base + 16 : base) | 3, 3, to64));
  // SYSRET loads the selector of SS and leaves the rest, which is flat.
  registers.setSegment(SS, flatStack((base + 8) | 3, 3));
  if (isLongMode(state)) registers.flags = Number(registers.get(R11) & 0x3c7fd7n) | 2;
  else registers.flags |= RFLAGS.IF;
  state.cpl = 3;
  v.modeChanged();
}

/** Selector that SYSENTER and SYSEXIT count from; AMD processors have both outside of long mode only. */
function sysenterSelector(v: Vcpu): number {
  if (isLongMode(v.state)) throw exception(VECTOR.UD);
  const selector = Number((v.state.msrs.get(MSR.SYSENTER_CS) ?? 0n) & 0xffffn);
  if (!isProtected(v.state) || (selector & 0xfffc) === 0) throw exception(VECTOR.GP, { errorCode: 0 });
  return selector & 0xfffc;
}

export function systemEnter(v: Vcpu): void {
  const selector = sysenterSelector(v);
  const { registers, state } = v;
  registers.flags &= ~(RFLAGS.IF | RFLAGS.VM | RFLAGS.RF);
  registers.setSegment(CS, flatCode(selector, 0, false));
  registers.setSegment(SS, flatStack(selector + 8, 0));
  registers.rip = (state.msrs.get(MSR.SYSENTER_EIP) ?? 0n) & 0xffff_ffffn;
  registers.set(RSP, (state.msrs.get(MSR.SYSENTER_ESP) ?? 0n) & 0xffff_ffffn);
  state.cpl = 0;
  v.modeChanged();
}

export function systemExit(v: Vcpu): void {
  const selector = sysenterSelector(v);
  const { registers, state } = v;
  if (state.cpl !== 0) throw exception(VECTOR.GP, { errorCode: 0 });
  registers.setSegment(CS, flatCode((selector + 16) | 3, 3, false));
  registers.setSegment(SS, flatStack((selector + 24) | 3, 3));
  registers.rip = BigInt(registers.get32(RDX));
  registers.set32(RSP, registers.get32(RCX));
  state.cpl = 3;
  v.modeChanged();
}
