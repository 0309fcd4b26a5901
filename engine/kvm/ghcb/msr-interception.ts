import { hex } from '../../address.js';
import { retired } from '../../cpu/svm/vmrun.js';
import { defineFault, makeFault } from '../../fault.js';
import type { Op } from '../../timeline/event.js';
import { type ExitHandling, RESUME, TO_USERSPACE } from '../run/kvm-exit.js';
import { IA32_APIC_BASE, kvmMsr, type MsrRow, X2APIC_ENABLE } from './kvm-msrs.js';
import { issueException, kernelLog, type Vmgexit } from './vmgexit.js';

const REFERENCE =
  'Linux arch/x86/kvm/x86.c kvm_emulate_rdmsr(), kvm_emulate_wrmsr(); svm/svm.c svm_complete_emulated_msr()';
const GP = 13;
const CODE = { kind: 'exception', name: '#GP', value: GP } as const;

export const MSR_UNKNOWN = defineFault<{ access: string; msr: string }>({
  check: 'kvm-msr-unknown',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: CODE,
  severity: 'information',
  title: 'MSR not emulated by KVM',
  message: (o) => `${o.access} of MSR ${o.msr}: KVM has no such MSR for this VM, and asks the guest to raise #GP.`,
  why: 'KVM answers an MSR access that it does not support as a processor would, with a general-protection fault; a guest with encrypted state raises it itself, on the request in SW_EXITINFO1 and SW_EXITINFO2. Kernels probe for MSRs in this way, so it need not be a mistake.',
  hint: 'Check CPUID for the feature before using its MSR, or be prepared for #GP.',
  reference: REFERENCE,
  confirmed: true,
});

export const MSR_PASSED_THROUGH = defineFault<{ access: string; msr: string }>({
  check: 'kvm-msr-passed-through',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: CODE,
  severity: 'information',
  title: 'MSR that belongs to the guest alone',
  message: (o) => `${o.access} of ${o.msr} by the GHCB: KVM refuses, and asks the guest to raise #GP.`,
  why: 'This register is part of the encrypted state: the processor saves and loads it with the VMSA, KVM does not intercept it and has no value of it.',
  hint: 'Execute RDMSR or WRMSR directly: there is no #VC for this MSR.',
  reference: 'Linux arch/x86/kvm/svm/svm.c sev_es_prevent_msr_access()',
  confirmed: true,
});

export const MSR_READ_ONLY = defineFault<{ msr: string; value: string }>({
  check: 'kvm-msr-read-only',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: CODE,
  severity: 'information',
  title: 'MSR cannot be written',
  message: (o) => `${o.msr} cannot be written (the value is ${o.value}): KVM asks the guest to raise #GP.`,
  why: 'KVM lets a guest read this MSR and no more.',
  hint: 'Do not write it.',
  reference: REFERENCE,
  confirmed: true,
});

export const MSR_WRITE_ONLY = defineFault<{ msr: string }>({
  check: 'kvm-msr-write-only',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: CODE,
  severity: 'information',
  title: 'MSR cannot be read',
  message: (o) => `${o.msr} cannot be read: KVM asks the guest to raise #GP.`,
  why: 'The MSR takes commands and has no content.',
  hint: 'Only write it.',
  reference: REFERENCE,
  confirmed: true,
});

export const MSR_VALUE = defineFault<{ msr: string; value: string; problem: string }>({
  check: 'kvm-msr-value',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: CODE,
  severity: 'information',
  title: 'Value that the MSR does not take',
  message: (o) => `The guest writes ${o.value} to ${o.msr}, but ${o.problem}: KVM asks the guest to raise #GP.`,
  why: 'Reserved bits and impossible values raise #GP on a processor, and so they do in KVM.',
  hint: 'Read the register first, change the bits that you mean, and write it back.',
  reference: REFERENCE,
  confirmed: true,
});

export const MSR_MISSING = defineFault<{ msr: string; what: string }>({
  check: 'kvm-msr-missing',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: { kind: 'input' },
  title: 'MSR not emulated here yet',
  message: (o) =>
    `The guest uses ${o.msr}, for which ${o.what} of KVM would be needed. This emulator does not have it yet.`,
  why: 'On Linux KVM would do what the MSR asks for. Going on without it would show another behaviour than the real host, so the run ends.',
  hint: 'Start the guest without the feature: without paravirtual clock (no-kvmclock) and in xAPIC mode.',
  reference: REFERENCE,
  confirmed: false,
});

const ALL = (1n << 64n) - 1n;

/** msr_interception(): SW_EXITINFO1 0 RDMSR, otherwise WRMSR; number in RCX, value in RDX:RAX. */
export function* msrInterception(v: Vmgexit): Op<ExitHandling> {
  const { exit, vcpu, machine } = v;
  const number = Number(exit.rcx & 0xffff_ffffn);
  const isWrite = exit.exitInfo1 !== 0n;
  const value = ((exit.rdx & 0xffff_ffffn) << 32n) | (exit.rax & 0xffff_ffffn);
  const row = kvmMsr(machine.processor, vcpu, number);
  const access = isWrite ? 'WRMSR' : 'RDMSR';
  if (!row) {
    yield* kernelLog(machine, `kvm: vcpu${vcpu.index}: unhandled ${access.toLowerCase()}: ${hex(number)}`);
    return issueException(v, GP, makeFault(MSR_UNKNOWN, { access, msr: hex(number) }));
  }
  return isWrite ? kvmSetMsr(v, number, row, value) : kvmGetMsr(v, number, row);
}

function kvmGetMsr(v: Vmgexit, number: number, { name, behaviour }: MsrRow): ExitHandling {
  const msr = `${name} (${hex(number)})`;
  switch (behaviour.kind) {
    case 'stored':
      return give(v, v.arch.msrs?.get(number) ?? behaviour.reset);
    case 'constant':
      return give(v, behaviour.value);
    case 'tsc':
      return give(v, BigInt.asUintN(64, BigInt(retired(v.machine)) + (v.arch.msrs?.get(number) ?? 0n)));
    case 'command':
      return issueException(v, GP, makeFault(MSR_WRITE_ONLY, { msr }));
    case 'passed-through':
      return issueException(v, GP, makeFault(MSR_PASSED_THROUGH, { access: 'RDMSR', msr }));
    case 'missing':
      return give(v, v.arch.msrs?.get(number) ?? 0n);
  }
}

function give(v: Vmgexit, value: bigint): ExitHandling {
  v.map.rax = value & 0xffff_ffffn;
  v.map.rdx = value >> 32n;
  return RESUME;
}

function kvmSetMsr(v: Vmgexit, number: number, { name, behaviour }: MsrRow, value: bigint): ExitHandling {
  const msr = `${name} (${hex(number)})`;
  switch (behaviour.kind) {
    case 'stored': {
      const problem = behaviour.refuses?.(value);
      if (problem) return refuseValue(v, msr, value, problem);
      const x2apic = number === IA32_APIC_BASE && (value & X2APIC_ENABLE) !== 0n;
      return x2apic ? notEmulated(v, msr, 'the local APIC in x2APIC mode') : keep(v, number, value);
    }
    case 'command': {
      const problem = behaviour.refuses?.(value);
      return problem ? refuseValue(v, msr, value, problem) : RESUME;
    }
    case 'constant':
      if (behaviour.write === 'ignored') return RESUME;
      return issueException(v, GP, makeFault(MSR_READ_ONLY, { msr, value: hex(value) }));
    case 'tsc':
      // The map holds the offset to the clock of the machine.
      return keep(v, number, (value - BigInt(retired(v.machine))) & ALL);
    case 'passed-through':
      return issueException(v, GP, makeFault(MSR_PASSED_THROUGH, { access: 'WRMSR', msr }));
    case 'missing':
      return (value & 1n) === 0n && !isWallClock(number) ? keep(v, number, value) : notEmulated(v, msr, behaviour.what);
  }
}

/** The wall clock has no bit to switch it on: every address written is used. */
function isWallClock(number: number): boolean {
  return number === 0x11 || number === 0x4b56_4d00;
}

function notEmulated(v: Vmgexit, msr: string, what: string): ExitHandling {
  const fault = makeFault(MSR_MISSING, { msr, what });
  v.arch.exit = { reason: 'emulator', fault };
  return { ...TO_USERSPACE, fault };
}

function keep(v: Vmgexit, number: number, value: bigint): ExitHandling {
  v.arch.msrs ??= new Map();
  v.arch.msrs.set(number, value);
  return RESUME;
}

function refuseValue(v: Vmgexit, msr: string, value: bigint, problem: string): ExitHandling {
  return issueException(v, GP, makeFault(MSR_VALUE, { msr, value: hex(value), problem }));
}
