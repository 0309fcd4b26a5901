import { defineFault, type FaultCode } from '../fault.js';
import { VMEXIT_NPF } from './access-faults.js';
import { instruction } from './instruction.js';

/** Checks that PVALIDATE, RMPADJUST and RMPQUERY share. The fault carries the name of the instruction that ran. */

const COMMAND = 'PVALIDATE, RMPADJUST, RMPQUERY';
const VOLUME_3 = 'AMD64 APM vol. 3, PVALIDATE, RMPADJUST, RMPQUERY';
const VOLUME_2 = 'AMD64 APM vol. 2, 15.36.5 to 15.36.11';
const VERISMO = 'microsoft/verismo source/verismo/src/arch/rmp/access_s.rs';
export const UD: FaultCode = { kind: 'exception', name: '#UD', value: 6 };
export const GP: FaultCode = { kind: 'exception', name: '#GP', value: 13 };

/** The page of an operand as the RMP knows it. */
export type TargetOperands = {
  readonly gpa: string;
  readonly spa: string;
  readonly asid: number;
  readonly state: string;
  readonly owner: string;
};

export const UNAVAILABLE = defineFault<{ snpActive: boolean; supported: boolean }>({
  check: 'hw-rmp-instruction-unavailable',
  layer: 'hardware',
  command: COMMAND,
  code: UD,
  title: 'The instruction exists only in an SNP-active guest',
  message: (o) =>
    o.snpActive
      ? 'The processor model does not have the instruction (CPUID 8000_001F EAX bit 6 for RMPQUERY).'
      : 'The vCPU runs without SNPActive (SEV_FEATURES bit 0), so the instruction does not exist for it.',
  why: 'The instructions work on the RMP entry of a page of the running guest. Without SNP there is no such entry.',
  hint: 'Look at SEV_STATUS (MSR C001_0131) bit 2 and at CPUID before using the instruction.',
  reference: VOLUME_3,
  confirmed: true,
});

export const PRIVILEGE = defineFault<{ cpl: number }>({
  check: 'hw-rmp-instruction-cpl',
  layer: 'hardware',
  command: COMMAND,
  code: GP,
  title: 'The instruction needs CPL 0',
  message: (o) => `The instruction was executed at CPL ${o.cpl}.`,
  why: 'Validation and VMPL permissions belong to the guest’s kernel; user code could otherwise take memory away from it.',
  hint: 'Execute it in the kernel.',
  reference: VOLUME_3,
  confirmed: true,
});

export const OPERAND_SIZE = defineFault<{ ecx: string }>({
  check: 'hw-rmp-instruction-page-size',
  layer: 'hardware',
  command: COMMAND,
  code: instruction('FAIL_INPUT'),
  title: 'No such page size',
  message: (o) => `ECX is ${o.ecx}; 0 stands for 4 KiB and 1 for 2 MiB.`,
  why: 'RMP entries know these two sizes only. A 1 GiB page consists of 2 MiB entries.',
  hint: 'Set ECX to 0 or 1. Check that the register does not keep an old value.',
  reference: VOLUME_3,
  confirmed: true,
});

export const OPERAND_ALIGNMENT = defineFault<{ gva: string }>({
  check: 'hw-rmp-instruction-alignment',
  layer: 'hardware',
  command: COMMAND,
  code: instruction('FAIL_INPUT'),
  title: 'Address not aligned to 2 MiB',
  message: (o) => `The operand asks for a 2 MiB page, but its address ${o.gva} is not 2 MiB aligned.`,
  why: 'A 2 MiB page begins at a multiple of 2 MiB.',
  hint: 'Align the address, or work on 4 KiB pages (ECX = 0) up to the next multiple of 2 MiB.',
  reference: VOLUME_3,
  confirmed: true,
});

export const OPERAND_RESERVED = defineFault<{ edx: string; allowed: string }>({
  check: 'hw-rmp-instruction-reserved',
  layer: 'hardware',
  command: COMMAND,
  code: instruction('FAIL_INPUT'),
  title: 'Reserved bits of the operand are set',
  message: (o) => `EDX is ${o.edx}; only the bits ${o.allowed} have a meaning.`,
  why: 'Reserved bits may get a meaning later, so they must be zero today.',
  hint: 'Clear the other bits of EDX. Check that the register does not keep an old value.',
  reference: VOLUME_3,
  confirmed: false,
});

export const TARGET_SHARED = defineFault<{ gpa: string }>({
  check: 'hw-rmp-instruction-shared',
  layer: 'hardware',
  command: COMMAND,
  code: instruction('FAIL_INPUT'),
  title: 'The guest maps the page as shared',
  message: (o) => `The address leads to GPA ${o.gpa} through a page-table entry whose C-bit is 0.`,
  why: 'The instruction is about a private page of the guest; through a mapping with C-bit 0 there is none.',
  hint: 'Map the page with the C-bit before the instruction: page table first, then page state change, then PVALIDATE. To rescind, PVALIDATE before the C-bit is cleared.',
  reference: VOLUME_3,
  confirmed: false,
});

export const TARGET_UNCOVERED = defineFault<TargetOperands & { readonly covered: string }>({
  check: 'hw-rmp-instruction-uncovered',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'The RMP does not cover the page',
  message: (o) =>
    `GPA ${o.gpa} leads to SPA ${o.spa}, which has no RMP entry: the table covers memory below ${o.covered}.`,
  why: 'Memory above RMP_END has no entries, so it can never be private memory of a guest.',
  hint: 'The host has to back private guest memory with pages that the RMP covers.',
  reference: VOLUME_2,
  confirmed: true,
});

export const TARGET_NOT_ASSIGNED = defineFault<TargetOperands>({
  check: 'hw-rmp-instruction-not-assigned',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'The host has not assigned the page',
  message: (o) => `GPA ${o.gpa} leads to SPA ${o.spa}, which is ${o.owner} (state ${o.state}).`,
  why: 'Making a page private takes both sides: the host assigns it with RMPUPDATE, then the guest validates it. KVM takes this exit for an implicit request to make the page private; without private memory attributes the VMM gets KVM_EXIT_MEMORY_FAULT.',
  hint: 'Ask for a page state change to private (GHCB event 0x8000_0010 or the MSR protocol), check its result, and only then use PVALIDATE or RMPADJUST.',
  reference: `${VOLUME_2}; Linux arch/x86/coco/sev/core.c set_pages_state()`,
  confirmed: true,
});

export const TARGET_IMMUTABLE = defineFault<TargetOperands>({
  check: 'hw-rmp-instruction-immutable',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'The page is immutable',
  message: (o) => `GPA ${o.gpa} leads to SPA ${o.spa}, which is ${o.owner} with the Immutable bit (state ${o.state}).`,
  why: 'An immutable page is in the hands of the firmware, and so is its entry.',
  hint: 'The host has to let the firmware finish: SNP_LAUNCH_UPDATE, or SNP_PAGE_RECLAIM.',
  reference: VOLUME_2,
  confirmed: true,
});

export const TARGET_ASID = defineFault<TargetOperands>({
  check: 'hw-rmp-instruction-not-owned',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'The page belongs to somebody else',
  message: (o) =>
    `GPA ${o.gpa} leads to SPA ${o.spa}, which is ${o.owner} (state ${o.state}); this guest has ASID ${o.asid}.`,
  why: 'A guest changes entries of its own pages only.',
  hint: 'The host has to map a page that RMPUPDATE assigned to this guest.',
  reference: VOLUME_2,
  confirmed: true,
});

export const TARGET_REVERSE_MAP = defineFault<TargetOperands & { readonly entryGpa: string }>({
  check: 'hw-rmp-instruction-reverse-map',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'The RMP assigns the page to another guest address',
  message: (o) =>
    `GPA ${o.gpa} leads to SPA ${o.spa}, but according to the RMP that page backs GPA ${o.entryGpa} (state ${o.state}).`,
  why: 'The host could otherwise get one page validated at two guest addresses, and swap them afterwards.',
  hint: 'The host has to map the page where RMPUPDATE assigned it, or to assign it anew.',
  reference: VOLUME_2,
  confirmed: true,
});

export const SIZE_NEEDS_PSMASH = defineFault<TargetOperands>({
  check: 'hw-rmp-instruction-needs-psmash',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: '4 KiB operand, 2 MiB RMP entry',
  message: (o) =>
    `The operand is 4 KiB of GPA ${o.gpa}, but the host assigned the region of SPA ${o.spa} with one 2 MiB entry.`,
  why: 'One entry has one Validated bit and one set of masks for all of its 2 MiB. Only the host can split it.',
  hint: 'Nothing in the guest: the host gets SIZEM in EXITINFO1, splits the entry with PSMASH and runs the instruction again. Operands of 2 MiB avoid the exit.',
  reference: `${VOLUME_2}, table 15-40; Linux arch/x86/kvm/svm/sev.c sev_handle_rmp_fault()`,
  confirmed: true,
});

export const SIZE_MISMATCH = defineFault<TargetOperands>({
  check: 'hw-rmp-instruction-size-mismatch',
  layer: 'hardware',
  command: COMMAND,
  code: instruction('FAIL_SIZEMISMATCH'),
  title: '2 MiB operand, 4 KiB RMP entries',
  message: (o) =>
    `The operand is 2 MiB from GPA ${o.gpa}, but the host assigned the region of SPA ${o.spa} in 4 KiB pages.`,
  why: 'Each 4 KiB entry has its own Validated bit and masks; one instruction changes one entry.',
  hint: 'On FAIL_SIZEMISMATCH repeat the instruction with ECX = 0 for each of the 512 pages. How the host backs memory is its choice, so a guest must be ready for this.',
  reference: `${VOLUME_2}, table 15-40; Linux arch/x86/coco/sev/shared.c pvalidate_pages()`,
  confirmed: true,
});

export const TARGET_NPT_SIZE = defineFault<TargetOperands & { readonly nptSize: string; readonly rmpSize: string }>({
  check: 'hw-rmp-instruction-npt-size',
  layer: 'hardware',
  command: COMMAND,
  code: VMEXIT_NPF,
  title: 'Page sizes of nested page table and RMP differ',
  message: (o) =>
    `The nested page table maps GPA ${o.gpa} with ${o.nptSize}, the RMP entry of SPA ${o.spa} is of ${o.rmpSize}.`,
  why: 'The page-size check of every private access holds for the operand, too.',
  hint: 'The host has to make both sizes equal: PSMASH, or another mapping.',
  reference: `${VOLUME_2}; order of the size checks: ${VERISMO}`,
  confirmed: false,
});
