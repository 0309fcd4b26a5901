import { defineFault } from '../fault.js';

/** How a guest can end other than in order: where. */
export type End = { vcpu: number; rip: string; instructions: number };

const at = ({ vcpu, rip, instructions }: End): string =>
  `vCPU ${vcpu} at RIP ${rip}, after ${instructions} instructions of the guest`;

export const GUEST_TERMINATED = defineFault<End & { set: number; code: number; meaning: string }>({
  check: 'vmm-guest-terminated',
  layer: 'vmm',
  command: 'KVM_EXIT_SYSTEM_EVENT',
  code: { kind: 'input' },
  title: 'The guest asked for its termination',
  message: (o) =>
    `The guest asked the host to end it: ${o.meaning} (reason set ${o.set}, reason ${o.code}). The request came from ${at(o)}.`,
  why: 'A guest that cannot go on safely, because the host does not answer as the GHCB protocol says or because a page is not in the state in which it should be, ends itself with the request 0x100 of the GHCB MSR protocol. QEMU stops the VM.',
  hint: 'Look at what happened right before the request.',
  reference: 'GHCB specification (AMD pub. 56421), 2.3.1; QEMU accel/kvm/kvm-all.c kvm_cpu_exec()',
  confirmed: true,
});

export const GUEST_SHUTDOWN = defineFault<End>({
  check: 'vmm-guest-shutdown',
  layer: 'vmm',
  command: 'KVM_EXIT_SHUTDOWN',
  code: { kind: 'exception', name: 'SHUTDOWN', value: 0x7f },
  title: 'Triple fault in the guest',
  message: (o) =>
    `The guest could not handle an exception (triple fault): the processor failed to deliver it, and the double fault that follows, on ${at(o)}.`,
  why: 'Before a guest has an interrupt descriptor table with handlers, or when handler or stack cannot be reached, every exception ends in a triple fault. KVM cannot reset the registers of a guest with encrypted state, so QEMU stops.',
  hint: 'See the first exception, and set up a handler for it, with a valid stack, before it can happen.',
  reference: 'Linux arch/x86/kvm/svm/svm.c shutdown_interception(); QEMU accel/kvm/kvm-all.c',
  confirmed: true,
});

export const GUEST_HALTED = defineFault<{ states: string }>({
  check: 'vmm-guest-halted',
  layer: 'vmm',
  command: 'KVM_RUN',
  code: { kind: 'input' },
  severity: 'information',
  title: 'All vCPUs wait',
  message: (o) => `Every vCPU waits (${o.states}), and nothing can wake one.`,
  why: 'HLT waits for an interrupt. This machine has no source of interrupts yet, so a guest that halts stays so.',
  hint: 'End the guest with a termination request, or power the machine off (port 0x604).',
  reference: 'Linux virt/kvm/kvm_main.c kvm_vcpu_block()',
  confirmed: true,
});

export const GUEST_ENTRY_FAILED = defineFault<{ vcpu: number; reason: string; meaning: string }>({
  check: 'vmm-kvm-entry-failed',
  layer: 'vmm',
  command: 'KVM_EXIT_FAIL_ENTRY',
  code: { kind: 'exception', name: 'VMEXIT_INVALID', value: -1 },
  title: 'VMRUN failed',
  message: (o) => `VMRUN of vCPU ${o.vcpu} failed with ${o.reason}: ${o.meaning}.`,
  why: 'VMRUN checks VMCB, VMSA and the RMP entry of the VMSA page before it enters the guest. KVM reports a failure as KVM_EXIT_FAIL_ENTRY, and QEMU stops the VM.',
  hint: 'See the check that failed.',
  reference: 'Linux arch/x86/kvm/svm/svm.c svm_handle_exit(); QEMU accel/kvm/kvm-all.c kvm_cpu_exec()',
  confirmed: true,
});

export const GUEST_INTERNAL_ERROR = defineFault<End & { suberror: number; exit: string }>({
  check: 'vmm-kvm-internal-error',
  layer: 'vmm',
  command: 'KVM_EXIT_INTERNAL_ERROR',
  code: { kind: 'input' },
  title: 'KVM internal error',
  message: (o) => `KVM could not handle the exit ${o.exit} of ${at(o)} (suberror ${o.suberror}).`,
  why: 'KVM knows which exits a guest with encrypted state can make. Another one means that host or processor are not in the state that KVM believes, or that VMRUN failed in a rare way.',
  hint: 'See the reason below.',
  reference:
    'Linux arch/x86/kvm/svm/svm.c svm_handle_invalid_exit(); QEMU accel/kvm/kvm-all.c kvm_handle_internal_error()',
  confirmed: true,
});

export const GUEST_RUN_FAILED = defineFault<End & { error: string }>({
  check: 'vmm-kvm-run-failed',
  layer: 'vmm',
  command: 'KVM_RUN',
  code: { kind: 'input' },
  title: 'KVM_RUN failed',
  message: (o) => `KVM_RUN returned ${o.error}; QEMU stops the VM. Last exit: ${at(o)}.`,
  why: 'An error of KVM_RUN other than -EINTR, and than -EFAULT with KVM_EXIT_MEMORY_FAULT, leaves the vCPU in a state from which the VMM cannot go on.',
  hint: 'See the reason below.',
  reference: 'QEMU accel/kvm/kvm-all.c kvm_cpu_exec()',
  confirmed: true,
});

export const GUEST_STUCK = defineFault<End>({
  check: 'vmm-guest-stuck',
  layer: 'vmm',
  command: 'KVM_RUN',
  code: { kind: 'input' },
  title: 'The guest is stuck at one instruction',
  message: (o) => `No vCPU of the guest gets any further. It stands still on ${at(o)}.`,
  why: 'The same instruction faults again and again, and nobody changes what it faults on. A real host would let it spin for ever.',
  hint: 'See the fault that repeats.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_handle_rmp_fault()',
  confirmed: true,
});

export const DEVICE_MISSING = defineFault<End & { device: string; address: string; access: string }>({
  check: 'vmm-device-missing',
  layer: 'vmm',
  command: 'KVM_EXIT_IO',
  code: { kind: 'input' },
  title: 'Device not emulated yet',
  message: (o) =>
    `The guest ${o.access} ${o.device} at ${o.address}, which is not emulated yet. It did so on ${at(o)}.`,
  why: 'A wrong answer of a device would send the guest somewhere else than real hardware does, so the run ends here.',
  hint: 'Use a device that the machine has: serial port, PCI configuration space, fw_cfg, CMOS, ACPI block, HPET, keyboard controller.',
  reference: 'SEV-SNP Workbench, devices',
  confirmed: true,
});

export const CONVERT_REFUSED = defineFault<End & { what: string; gpa: string; size: string; to: string }>({
  check: 'vmm-convert-memory',
  layer: 'vmm',
  command: 'kvm_convert_memory',
  code: { kind: 'input' },
  title: 'Page state change refused by the VMM',
  message: (o) =>
    `QEMU cannot convert ${o.size} bytes at ${o.gpa} to ${o.to}: ${o.what}. It stops the VM; the guest gets no answer. The request came from ${at(o)}.`,
  why: 'Only memory with a guest_memfd can be private. Device memory and holes stay shared; asking to make them private, or using them with the C-bit, cannot work.',
  hint: 'Map device memory with C-bit 0, and change the state of guest RAM only.',
  reference: 'QEMU accel/kvm/kvm-all.c kvm_convert_memory()',
  confirmed: true,
});
