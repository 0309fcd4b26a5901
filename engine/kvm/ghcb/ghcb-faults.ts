import { defineFault, type FaultCode } from '../../fault.js';
import { errno } from '../../spec/errno.js';
import { GHCB_ERROR, type GhcbErrorName } from '../../spec/ghcb-layout.js';

/** Requests that KVM refuses before it looks at what they ask for. */

const VALIDATE = 'Linux arch/x86/kvm/svm/sev.c sev_es_validate_vmgexit()';
const HANDLE = 'Linux arch/x86/kvm/svm/sev.c sev_handle_vmgexit()';

/** SW_EXITINFO1 2 with this reason. */
export function reason(name: GhcbErrorName): FaultCode {
  return { kind: 'ghcb', name, value: GHCB_ERROR[name] };
}

/** The guest goes on without any answer. */
export const NO_ANSWER: FaultCode = { kind: 'ghcb', name: 'no answer', value: 0 };

export const GHCB_NOT_SET = defineFault<{ vcpu: number }>({
  check: 'kvm-ghcb-not-set',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: NO_ANSWER,
  title: 'VMGEXIT without a GHCB',
  message: (o) => `vCPU ${o.vcpu} executed VMGEXIT while its GHCB MSR (C001_0130) is 0.`,
  why: 'The GHCB MSR says what a VMGEXIT is about: the address of a GHCB page, or a request in the MSR itself. With 0 in it KVM cannot even report an error, because there is no page to write it to: the guest goes on as if nothing had happened.',
  hint: 'Write the guest physical address of the GHCB, or a request of the MSR protocol, to MSR C001_0130 before VMGEXIT.',
  reference: HANDLE,
  confirmed: true,
});

export const GHCB_UNMAPPED = defineFault<{ gpa: string }>({
  check: 'kvm-ghcb-unmapped',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: NO_ANSWER,
  title: 'GHCB outside of guest memory',
  message: (o) => `The GHCB MSR points to ${o.gpa}, where the guest has no memory.`,
  why: 'KVM maps the page of the GHCB through the memory slots of the VM. Where no slot is there is nothing to read, and no place for an answer: the guest goes on as if nothing had happened. Registering an address does not check it.',
  hint: 'Use a page of RAM, and write its physical address without the C-bit.',
  reference: HANDLE,
  confirmed: true,
});

export const GHCB_NOT_REGISTERED = defineFault<{ gpa: string; registered: string }>({
  check: 'kvm-ghcb-not-registered',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: errno('EINVAL'),
  title: 'GHCB not registered',
  message: (o) => `The guest uses a GHCB at ${o.gpa}, but ${o.registered}.`,
  why: 'An SNP guest names the page of its GHCB once for each vCPU, with request 0x012 of the GHCB MSR protocol, so that the host can prepare it. KVM does not answer a GHCB at another address: KVM_RUN fails with EINVAL, and QEMU stops the guest.',
  hint: 'On this vCPU, write (GPA | 0x012) to the GHCB MSR, VMGEXIT, and check that 0x013 with the same address comes back; then use the GHCB.',
  reference: `${HANDLE}; AMD pub. 56421, 2.3.2`,
  confirmed: true,
});

export const GHCB_USAGE_INVALID = defineFault<{ usage: string }>({
  check: 'kvm-ghcb-usage',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('INVALID_USAGE'),
  title: 'GHCB usage not supported',
  message: (o) => `GHCB_USAGE (offset 0xFFC) is ${o.usage}; KVM knows 0 only.`,
  why: 'The field names the format of the page. Formats other than 0 belong to other hypervisors. A page that was never set up holds whatever lay there before.',
  hint: 'Write 0 to the four bytes at offset 0xFFC, and the protocol version 2 to the two bytes at 0xFFA.',
  reference: VALIDATE,
  confirmed: true,
});

export const GHCB_MISSING_INPUT = defineFault<{
  event: string;
  field: string;
  offset: string;
  bit: number;
  use: string;
}>({
  check: 'kvm-ghcb-missing-input',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('MISSING_INPUT'),
  title: 'Required GHCB field not marked valid',
  message: (o) =>
    `${o.event} needs ${o.field} (${o.use}), but bit ${o.bit} of the valid bitmap is clear: the field at offset ${o.offset} counts as not given.`,
  why: 'The guest shows the host only what it must. The bitmap at offset 0x3F0 says which fields hold something: bit n stands for the eight bytes at offset 8n. KVM takes nothing that is not marked, clears the bitmap, and marks what it returns, so all bits have to be set again for every request.',
  hint: (o) => `Write ${o.field} at offset ${o.offset} and set bit ${o.bit} of the bitmap before VMGEXIT.`,
  reference: VALIDATE,
  confirmed: true,
});

export const GHCB_PRIVATE = defineFault<{ gpa: string; event: string; field: string; bit: number }>({
  check: 'kvm-ghcb-private',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('MISSING_INPUT'),
  title: 'GHCB in private memory',
  message: (o) =>
    `The GHCB at ${o.gpa} lies in private memory. KVM reads the shared page behind that address instead, finds ${o.event} there with the bit of ${o.field} (${o.bit}) clear, and puts its answer where the guest does not see it.`,
  why: 'A private page is encrypted with the key of the guest, and the host cannot read it. Host and guest meet only in a page that is shared on both sides: the guest maps it with C-bit 0, and the host has been told by a page state change.',
  hint: 'Before the GHCB is used: PVALIDATE with validated = 0, page state change to shared (GHCB MSR request 0x014, operation 2), then map the page with C-bit 0 and clear it.',
  reference: `${VALIDATE}, ${HANDLE}; AMD pub. 56421, 2.6`,
  confirmed: true,
});

export const GHCB_EVENT = defineFault<{ code: string; name: string }>({
  check: 'kvm-ghcb-event',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('INVALID_EVENT'),
  title: 'Event not known to KVM',
  message: (o) => `SW_EXITCODE (offset 0x390) is ${o.code}${o.name}, which KVM does not take.`,
  why: 'The field takes the exit codes of the instructions that a guest may hand over, and the events from 0x80000001 of the GHCB specification. Of these a hypervisor implements some; which of the newer ones, its feature bitmap says. KVM answers everything else with INVALID_EVENT.',
  hint: 'Check the code against the GHCB specification. Ask for the features of the hypervisor (0x080 of the MSR protocol) before you use an event that depends on one, and have a #VC handler terminate for exits that it does not know.',
  reference: VALIDATE,
  confirmed: true,
});

export const GHCB_SNP_ONLY = defineFault<{ event: string }>({
  check: 'kvm-ghcb-snp-only',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('MISSING_INPUT'),
  title: 'Event for SNP guests only',
  message: (o) => `${o.event} is an event of SNP guests; this VM is not one.`,
  why: 'Page states, firmware messages and AP creation need the RMP. KVM treats these events of an SEV-ES guest like a request without its input.',
  hint: 'Look at SEV_STATUS (MSR C001_0131), bit 2, before using SNP events.',
  reference: VALIDATE,
  confirmed: true,
});

export const GHCB_REQUEST_PAGES = defineFault<{ request: string; response: string; problem: string }>({
  check: 'kvm-ghcb-request-pages',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('MISSING_INPUT'),
  title: 'Pages of a guest request wrong',
  message: (o) => `Request page ${o.request} (SW_EXITINFO1), response page ${o.response} (SW_EXITINFO2): ${o.problem}.`,
  why: 'The firmware reads the message from one page and writes the answer to another one. KVM reports a wrong page as missing input, not as invalid input.',
  hint: 'Use two different shared pages, and pass their physical addresses, aligned to 4 KiB and without the C-bit.',
  reference: VALIDATE,
  confirmed: true,
});

export const GHCB_UNSUPPORTED_EVENT = defineFault<{ event: string; info: string }>({
  check: 'kvm-ghcb-unsupported-event',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: errno('EINVAL'),
  title: 'Guest met an exit that it cannot handle',
  message: (o) =>
    `The #VC handler of the guest got ${o.event} (information ${o.info}) and does not know what to do with it.`,
  why: 'A guest that cannot handle a #VC may tell the hypervisor so, with event 0x8000FFFF. For KVM that is the end: KVM_RUN fails with EINVAL, and QEMU stops.',
  hint: 'Find the instruction that caused the #VC: avoid it, or teach the handler.',
  reference: HANDLE,
  confirmed: true,
});

export const GHCB_JUMP_TABLE = defineFault<{ info1: string }>({
  check: 'kvm-ghcb-jump-table',
  layer: 'kvm',
  command: 'VMGEXIT',
  code: reason('INVALID_INPUT'),
  title: 'AP jump table request unknown',
  message: (o) => `SW_EXITINFO1 is ${o.info1}; the event AP_JUMP_TABLE has 0, set, and 1, get.`,
  why: 'The AP jump table is how firmware tells an SEV-ES operating system where parked vCPUs wait. SNP guests use AP creation and the secrets page.',
  hint: 'Use 0 with the address in SW_EXITINFO2, or 1.',
  reference: HANDLE,
  confirmed: true,
});
