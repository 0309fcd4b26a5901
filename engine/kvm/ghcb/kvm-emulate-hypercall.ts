import { hex } from '../../address.js';
import { defineFault, type FaultDefinition, makeFault, type Operands } from '../../fault.js';
import type { Op } from '../../timeline/event.js';
import { type ExitHandling, RESUME, TO_USERSPACE } from '../run/kvm-exit.js';
import { hasHypercallExit, KVM_HC_MAP_GPA_RANGE } from './map-gpa-range.js';
import { refusedRequest, type Vmgexit } from './vmgexit.js';

const REFERENCE = 'Linux arch/x86/kvm/x86.c kvm_emulate_hypercall(), include/uapi/linux/kvm_para.h';

/** Negative results of hypercalls, in RAX. Linux include/uapi/linux/kvm_para.h KVM_E*. */
const KVM_EPERM = 1;
const KVM_EINVAL = 22;
const KVM_ENOSYS = 1000;
const KVM_HC_VAPIC_POLL_IRQ = 1n;
const KVM_HC_SCHED_YIELD = 11n;

const result = (name: string, value: number) => ({ kind: 'ghcb', name: `RAX -${name}`, value }) as const;

export const HYPERCALL_CPL = defineFault<{ nr: number; cpl: number }>({
  check: 'kvm-hypercall-cpl',
  layer: 'kvm',
  command: 'VMMCALL',
  code: result('KVM_EPERM', KVM_EPERM),
  title: 'Hypercall from user mode',
  message: (o) => `Hypercall ${o.nr} comes from CPL ${o.cpl}.`,
  why: 'Hypercalls are for the kernel of the guest. The GHCB says from which privilege level VMMCALL was executed.',
  hint: 'Make the hypercall in the kernel, and write the real CPL to offset 0xCB of the GHCB.',
  reference: REFERENCE,
  confirmed: true,
});

export const HYPERCALL_UNKNOWN = defineFault<{ nr: string }>({
  check: 'kvm-hypercall-unknown',
  layer: 'kvm',
  command: 'VMMCALL',
  code: result('KVM_ENOSYS', KVM_ENOSYS),
  severity: 'information',
  title: 'Hypercall not implemented',
  message: (o) => `Hypercall ${o.nr} is not implemented for this VM.`,
  why: 'Which hypercalls a guest may use, CPUID function 0x40000001 says. MAP_GPA_RANGE (12) also needs a VMM that has enabled KVM_CAP_EXIT_HYPERCALL for it.',
  hint: 'Look at the feature bits first, and deal with -KVM_ENOSYS (-1000).',
  reference: REFERENCE,
  confirmed: true,
});

export const HYPERCALL_RANGE = defineFault<{ gpa: string; pages: string }>({
  check: 'kvm-hypercall-range',
  layer: 'kvm',
  command: 'VMMCALL',
  code: result('KVM_EINVAL', KVM_EINVAL),
  title: 'MAP_GPA_RANGE with a wrong range',
  message: (o) => `${o.pages} pages at ${o.gpa} are no range of pages.`,
  why: 'The address has to be aligned to 4 KiB, the number must not be 0, and the range must not wrap.',
  hint: 'Check RBX (address) and RCX (number of pages). SNP guests use page state change events instead.',
  reference: REFERENCE,
  confirmed: true,
});

export const HYPERCALL_MISSING = defineFault<{ nr: number; name: string }>({
  check: 'kvm-hypercall-missing',
  layer: 'kvm',
  command: 'VMMCALL',
  code: { kind: 'input' },
  title: 'Hypercall not emulated yet',
  message: (o) => `The guest made hypercall ${o.nr} (${o.name}), which this emulator does not have yet.`,
  why: 'The hypercall needs an interrupt controller or a clock of the host that is not emulated. Going on without it would show another behaviour than the real host, so the run ends.',
  hint: 'Start the guest without the paravirtual feature.',
  reference: REFERENCE,
  confirmed: false,
});

const NOT_EMULATED: Readonly<Record<number, string>> = {
  5: 'KICK_CPU',
  9: 'CLOCK_PAIRING',
  10: 'SEND_IPI',
};

/** kvm_emulate_hypercall(): number in RAX, arguments in RBX, RCX, RDX, RSI; the result goes to RAX. */
// biome-ignore lint/correctness/useYield: a handler like the others.
export function* kvmEmulateHypercall(v: Vmgexit): Op<ExitHandling> {
  const { rax, rbx, rcx, rdx, rsi, cpl } = v.exit;
  const nr = Number(rax);
  if (cpl !== 0) return fails(v, HYPERCALL_CPL, { nr, cpl }, KVM_EPERM);
  if (rax === KVM_HC_VAPIC_POLL_IRQ) {
    v.map.rax = 0n;
    return RESUME;
  }
  if (rax === KVM_HC_SCHED_YIELD) {
    v.arch.yielded = true;
    v.map.rax = 0n;
    return RESUME;
  }
  if (nr === KVM_HC_MAP_GPA_RANGE && hasHypercallExit(v.vm, nr)) {
    const wraps = (rbx >> 12n) + rcx <= rbx >> 12n || (rbx >> 12n) + rcx >= 1n << 64n;
    if (rbx % 4096n !== 0n || rcx === 0n || wraps) {
      return fails(v, HYPERCALL_RANGE, { gpa: hex(rbx), pages: hex(rcx) }, KVM_EINVAL);
    }
    const args = [rbx, rcx, rdx, rsi, 0n, 0n];
    const exit = { reason: 'KVM_EXIT_HYPERCALL' as const, nr, args, ret: 0n };
    v.arch.exit = exit;
    // biome-ignore lint/correctness/useYield: a handler like the others.
    v.arch.complete = function* () {
      v.map.rax = exit.ret;
      return RESUME;
    };
    return TO_USERSPACE;
  }
  const name = NOT_EMULATED[nr];
  if (name !== undefined) {
    const fault = makeFault(HYPERCALL_MISSING, { nr, name });
    v.arch.exit = { reason: 'emulator', fault };
    return { ...TO_USERSPACE, fault };
  }
  return fails(v, HYPERCALL_UNKNOWN, { nr: hex(rax) }, KVM_ENOSYS);
}

function fails<O extends Operands>(
  v: Vmgexit,
  definition: FaultDefinition<O>,
  operands: O,
  code: number,
): ExitHandling {
  v.map.rax = BigInt.asUintN(64, BigInt(-code));
  return refusedRequest(makeFault(definition, operands));
}
