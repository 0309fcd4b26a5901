import { defineFault, type FaultCode } from '../../fault.js';
import { ERRNO } from '../../spec/errno.js';
import { PSC_RESULT, type PscResultName } from '../../spec/ghcb-layout.js';

const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c snp_begin_psc()';
const EVENT = 'PSC';

const result = (name: PscResultName): FaultCode => ({ kind: 'ghcb', name, value: Number(PSC_RESULT[name]) });

export const PSC_NO_EXIT = defineFault({
  check: 'kvm-psc-no-exit',
  layer: 'kvm',
  command: EVENT,
  code: result('GENERIC'),
  title: 'VMM does not take page state changes',
  message: () => 'No page changes: the VMM has not enabled KVM_CAP_EXIT_HYPERCALL for MAP_GPA_RANGE.',
  why: 'KVM cannot convert memory itself: private pages come from guest_memfd and shared ones from the mapping of the VMM. It passes the request on as hypercall 12, and only to a VMM that asked for that.',
  hint: 'VMM: KVM_ENABLE_CAP(KVM_CAP_EXIT_HYPERCALL) with 0x1000 before the guest runs.',
  reference: REFERENCE,
  confirmed: true,
});

export const PSC_IN_FLIGHT = defineFault<{ entries: number }>({
  check: 'kvm-psc-in-flight',
  layer: 'kvm',
  command: EVENT,
  code: result('GENERIC'),
  title: 'Page state change under way already',
  message: (o) => `A page state change of ${o.entries} entries of this vCPU has not been completed.`,
  why: 'A vCPU waits until its request is done, so there can be only one. If the VMM enters the vCPU again without an answer to the last exit KVM warns in the kernel log and refuses.',
  hint: 'VMM: complete KVM_EXIT_HYPERCALL by entering the vCPU again with its return value.',
  reference: REFERENCE,
  confirmed: true,
});

export const PSC_HEADER = defineFault<{ end: number; limit: number }>({
  check: 'kvm-psc-header',
  layer: 'kvm',
  command: EVENT,
  code: result('INVALID_HDR'),
  title: 'Page state change list too long',
  message: (o) => `end_entry is ${o.end}; the last possible entry is ${o.limit}.`,
  why: 'The shared buffer of the GHCB has room for a header and 253 entries, numbered from 0. end_entry is the number of the last entry, not a count.',
  hint: 'Split the list, and set end_entry to the number of entries less one.',
  reference: REFERENCE,
  confirmed: true,
});

export const PSC_BUFFER = defineFault<{ entry: number; address: string }>({
  check: 'kvm-psc-buffer',
  layer: 'kvm',
  command: EVENT,
  code: result('INVALID_HDR'),
  title: 'Page state change list beyond its buffer',
  message: (o) => `Entry ${o.entry} of the list at ${o.address} does not lie in the shared buffer.`,
  why: 'Guests pass 0 as the length of the list, so that KVM does not check it: a list that begins late in the page, or outside of it, makes the kernels of these releases read beyond what they have mapped. What happens then depends on what lies there; this emulator answers "invalid header".',
  hint: 'Put the list at the beginning of the shared buffer: SW_SCRATCH is the GPA of the GHCB + 0x800.',
  reference: `${REFERENCE}, setup_vmgexit_scratch()`,
  confirmed: false,
});

export const PSC_ENTRY = defineFault<{ entry: number; what: string; problem: string }>({
  check: 'kvm-psc-entry',
  layer: 'kvm',
  command: EVENT,
  code: result('INVALID_ENTRY'),
  title: 'Page state change with a wrong entry',
  message: (o) => `Entry ${o.entry} (${o.what}): ${o.problem}.`,
  why: 'An entry stands for one page of 4 KiB or 2 MiB. cur_page counts the 4 KiB pages of it that are done: the guest sets 0, KVM 1 or 512 in the end. KVM stops at the first wrong entry; those before it are done.',
  hint: 'Set cur_page to 0, and use 2 MiB entries only for frames that are multiples of 512.',
  reference: REFERENCE,
  confirmed: true,
});

export const PSC_USERSPACE = defineFault<{ gpa: string; pages: string; ret: string }>({
  check: 'kvm-psc-userspace',
  layer: 'kvm',
  command: EVENT,
  code: result('GENERIC'),
  title: 'VMM refused a page state change',
  message: (o) => `The VMM answered ${o.ret} to the page state change of ${o.pages} pages at ${o.gpa}.`,
  why: 'The VMM converts memory that lies in its RAM regions. An address where no RAM is, or a failure to allocate or free memory, comes back as an error, and the rest of the list is not done.',
  hint: 'Check that the addresses are RAM of the guest and have no C-bit in them.',
  reference: REFERENCE,
  confirmed: true,
});

export const PSC_UNINITIALISED = defineFault<{ last: string }>({
  check: 'kvm-psc-uninitialised',
  layer: 'kvm',
  command: EVENT,
  code: result('GENERIC'),
  severity: 'warning',
  title: 'Exit for a page state change that nobody asked for',
  message: (o) =>
    `The rest of the list has nothing to convert (last entry: ${o.last}). This KVM does not notice and exits to the VMM nevertheless, with an address and a length that were never set.`,
  why: 'A bug of the series as posted: the scan for the next range ends without a result where the remaining entries are PSMASH or UNSMASH, or are done already, and the code goes on as if it had found one. The two variables are garbage of the kernel stack, here 0 as in kernels that clear it. The form that was merged into Linux 6.11 answers "done" instead.',
  hint: 'Choose host.kvm 6.11, or keep PSMASH, UNSMASH and completed entries away from the end of the list.',
  reference: 'KVM series v15, patch 10/20, and its fix-up 23/23; Linux arch/x86/kvm/svm/sev.c snp_begin_psc()',
  confirmed: true,
});

export const PSC_RECURSION = defineFault<{ last: string }>({
  check: 'kvm-psc-recursion',
  layer: 'kvm',
  command: EVENT,
  code: { kind: 'exception', name: '#DF', value: 8 },
  title: 'Page state change that recurses without end',
  message: (o) =>
    `The list holds only operations that KVM does not make and that are marked as done (last entry: ${o.last}). The fix-up as posted completes "them" and begins again, without ever advancing.`,
  why: 'snp_complete_psc() calls snp_begin_psc() for the next range. With no entry under way cur_entry stays where it is, the next scan finds nothing again, and the two call each other until the stack of the host kernel overflows. The form that was merged into Linux 6.11 answers "done" instead. The emulated host ends the guest here.',
  hint: 'Choose host.kvm 6.11, and set cur_page of new entries to 0.',
  reference: 'KVM series v15, fix-up 23/23, snp_begin_psc()',
  confirmed: false,
});

export const PSC_ENDLESS = defineFault<{ exits: number }>({
  check: 'kvm-psc-endless',
  layer: 'kvm',
  command: EVENT,
  code: { kind: 'errno', name: 'EINTR', value: -ERRNO.EINTR },
  title: 'Page state change that never ends',
  message: (o) => `KVM has exited ${o.exits} times to the VMM for the same place in the list, and goes back each time.`,
  why: 'A bug of the series as posted: after an exit for a range that was never found, or for a partly completed 2 MiB page that is then marked with cur_page 1 in place of 512, the scan starts again at the same entry. On a real host the vCPU goes round in this loop until somebody kills it. The emulated host notices and stops.',
  hint: 'Choose host.kvm v15+fixes or 6.11.',
  reference: 'KVM series v15, patch 10/20, and its fix-up 23/23; Linux arch/x86/kvm/svm/sev.c snp_begin_psc()',
  confirmed: true,
});
