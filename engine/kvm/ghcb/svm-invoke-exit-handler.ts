import { hex } from '../../address.js';
import { defineFault, makeFault } from '../../fault.js';
import { NAE } from '../../spec/ghcb-layout.js';
import type { Op } from '../../timeline/event.js';
import { type ExitHandling, RESUME, TO_USERSPACE } from '../run/kvm-exit.js';
import { exitName } from './describe.js';
import { ioInterception } from './io-interception.js';
import { kvmCpuid } from './kvm-cpuid.js';
import { kvmEmulateHypercall } from './kvm-emulate-hypercall.js';
import { msrInterception } from './msr-interception.js';
import { injectException, kernelLog, type Vmgexit, vcpuUnimpl } from './vmgexit.js';

/** KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON. */
const UNEXPECTED_EXIT_REASON = 4;
const UD = 6;
const GP = 13;

export const UNEXPECTED_EXIT = defineFault<{ event: string; code: string }>({
  check: 'kvm-ghcb-unexpected-exit',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: { kind: 'exception', name: 'KVM_EXIT_INTERNAL_ERROR', value: UNEXPECTED_EXIT_REASON },
  title: 'KVM has no handler for the event',
  message: (o) =>
    `The guest handed over ${o.event} (${o.code}), which passes the checks of the GHCB but which KVM never intercepts, so that no handler exists.`,
  why: 'KVM does not intercept this instruction, so a guest never gets a #VC for it and has no reason to ask. KVM stops the vCPU with KVM_EXIT_INTERNAL_ERROR.',
  hint: 'Execute the instruction directly. RDTSC works in an SNP guest without the host.',
  reference: 'Linux arch/x86/kvm/svm/svm.c svm_exit_handlers[], svm_handle_invalid_exit()',
  confirmed: true,
});

export const EVENT_INVALID_OPCODE = defineFault<{ event: string }>({
  check: 'kvm-ghcb-invalid-opcode',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: { kind: 'exception', name: '#UD', value: UD },
  title: 'KVM answers the event with #UD',
  message: (o) =>
    `The guest handed over ${o.event}; KVM injects #UD, which the guest gets at the instruction behind VMGEXIT.`,
  why: 'KVM intercepts this instruction only where the guest is not supposed to have it, and injects an invalid-opcode exception in place of a result.',
  hint: 'Execute the instruction directly.',
  reference: 'Linux arch/x86/kvm/svm/svm.c svm_exit_handlers[], kvm_handle_invalid_op()',
  confirmed: true,
});

export const RDPMC_NO_PMU = defineFault<{ counter: string }>({
  check: 'kvm-rdpmc-no-pmu',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: { kind: 'exception', name: '#GP', value: GP },
  title: 'No performance counters',
  message: (o) => `The guest read performance counter ${o.counter}; the VM has none, and KVM injects #GP.`,
  why: 'QEMU gives a guest no performance counters unless it is told to (pmu=on).',
  hint: 'Do not use RDPMC without a PMU.',
  reference: 'Linux arch/x86/kvm/x86.c kvm_emulate_rdpmc(), kvm_pmu_rdpmc()',
  confirmed: true,
});

/** svm_invoke_exit_handler(): events that stand for an instruction. */
export function* svmInvokeExitHandler(v: Vmgexit): Op<ExitHandling> {
  const { exit, map } = v;
  switch (exit.exitCode) {
    case NAE.READ_DR7:
    case NAE.WRITE_DR7:
      // dr_interception(): DR7 of an encrypted guest is not KVM's; RAX goes back as it came.
      return RESUME;
    case NAE.RDPMC: {
      const fault = makeFault(RDPMC_NO_PMU, { counter: hex(exit.rcx & 0xffff_ffffn) });
      return injectException(v, GP, 0, fault);
    }
    case NAE.CPUID:
      kvmEmulateCpuid(v);
      return RESUME;
    case NAE.INVD:
    case NAE.WBINVD:
      return RESUME;
    case NAE.IOIO:
      return yield* ioInterception(v);
    case NAE.MSR:
      return yield* msrInterception(v);
    case NAE.VMMCALL:
      return yield* kvmEmulateHypercall(v);
    case NAE.RDTSCP:
      return injectException(v, UD, undefined, makeFault(EVENT_INVALID_OPCODE, { event: 'RDTSCP' }));
    case NAE.MONITOR:
    case NAE.MWAIT:
      yield* kernelLog(v.machine, `kvm: ${exitName(exit.exitCode)} instruction emulated as NOP!`);
      return RESUME;
    default: {
      yield* vcpuUnimpl(v.machine, v.vcpu, `svm: unexpected exit reason ${hex(exit.exitCode)}`);
      const fault = makeFault(UNEXPECTED_EXIT, { event: exitName(exit.exitCode), code: hex(exit.exitCode) });
      v.arch.exit = { reason: 'KVM_EXIT_INTERNAL_ERROR', suberror: UNEXPECTED_EXIT_REASON, fault };
      return { ...TO_USERSPACE, fault };
    }
  }

  /** kvm_emulate_cpuid(). */
  function kvmEmulateCpuid({ machine, vcpu }: Vmgexit): void {
    const fn = Number(exit.rax & 0xffff_ffffn);
    const { eax, ebx, ecx, edx } = kvmCpuid(machine, vcpu, fn, Number(exit.rcx & 0xffff_ffffn));
    map.rax = BigInt(eax);
    map.rbx = BigInt(ebx);
    map.rcx = BigInt(ecx);
    map.rdx = BigInt(edx);
  }
}
