import { defineFault } from '../../fault.js';
import { errno } from '../../spec/errno.js';
import { reason } from './ghcb-faults.js';

const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c snp_handle_guest_req()';
const EXTENDED = 'Linux arch/x86/kvm/svm/sev.c snp_handle_ext_guest_req()';
const EVENT = 'GUEST_REQUEST';
const GENERIC = { kind: 'ghcb', name: 'VMM error GENERIC', value: 0x8000_0000 } as const;

export const GUEST_REQ_COPY = defineFault<{ gpa: string; page: string }>({
  check: 'kvm-guest-req-copy',
  layer: 'kvm',
  command: EVENT,
  code: errno('EIO'),
  title: 'Page of a guest request not accessible',
  message: (o) => `KVM cannot access the ${o.page} at ${o.gpa}: no guest memory is there.`,
  why: 'KVM copies the request to a page of its own and the response back. An address outside of the memory slots is no answerable mistake: KVM_RUN fails with EIO, which ends the guest.',
  hint: 'Use shared pages of RAM, and pass their physical addresses without the C-bit.',
  reference: REFERENCE,
  confirmed: true,
});

export const GUEST_REQ_FIRMWARE = defineFault<{ request: string; status: string }>({
  check: 'kvm-guest-req-firmware',
  layer: 'kvm',
  command: EVENT,
  code: { kind: 'ghcb', name: 'firmware status', value: 0 },
  title: 'Firmware refused a guest request',
  message: (o) =>
    `The firmware did not accept the message at ${o.request}: the guest finds status ${o.status} in the lower half of SW_EXITINFO2.`,
  why: 'The message is encrypted between guest and firmware; KVM passes on what it cannot read, and the status that comes back. Linux guests then stop using the key, because a repeated sequence number would be unsafe.',
  hint: 'See the firmware’s own reason below.',
  reference: REFERENCE,
  confirmed: true,
});

export const GUEST_REQ_ISSUE = defineFault({
  check: 'kvm-guest-req-issue',
  layer: 'kvm',
  command: EVENT,
  code: errno('EIO'),
  title: 'Guest request not sent to the firmware',
  message: () => 'KVM could not issue SNP_GUEST_REQUEST.',
  why: 'Only statuses of the firmware are passed on to the guest. If the command does not reach it, KVM_RUN fails.',
  hint: 'See the reason below.',
  reference: REFERENCE,
  confirmed: true,
});

export const GUEST_REQ_PAGES = defineFault<{ gpa: string; page: string; problem: string }>({
  check: 'kvm-guest-req-pages',
  layer: 'kvm',
  command: EVENT,
  code: GENERIC,
  title: 'Page of a guest request not usable',
  message: (o) => `The ${o.page} at ${o.gpa} ${o.problem}.`,
  why: 'As posted, KVM hands the pages of the guest to the firmware: it looks up their page frames and makes the response page a Firmware page. If that does not work the guest gets VMM error 0x80000000.',
  hint: 'Use two shared pages of RAM, aligned to 4 KiB, and pass their physical addresses without the C-bit.',
  reference: 'KVM series v15, patch 18/20, snp_setup_guest_buf()',
  confirmed: true,
});

export const GUEST_REQ_FIRMWARE_V15 = defineFault<{ request: string; status: string; response: string }>({
  check: 'kvm-guest-req-page-lost',
  layer: 'kvm',
  command: EVENT,
  code: GENERIC,
  title: 'Response page stays with the firmware',
  message: (o) =>
    `The firmware did not accept the message at ${o.request} (status ${o.status}), and KVM returns without taking the response page at ${o.response} back: it stays a Firmware page, and the next access of the guest to it is an RMP fault.`,
  why: 'A bug of the series as posted: on failure of the command the reclaim is skipped. The guest gets VMM error 0x80000000 together with the status. From Linux 6.11 on the pages of the guest do not change hands.',
  hint: 'See the firmware’s own reason below; with host.kvm 6.11 the page stays usable.',
  reference: 'KVM series v15, patch 18/20, __snp_handle_guest_req()',
  confirmed: true,
});

export const EXT_REQ_DATA = defineFault<{ problem: string }>({
  check: 'kvm-ext-guest-req-data',
  layer: 'kvm',
  command: 'EXT_GUEST_REQUEST',
  code: reason('INVALID_INPUT'),
  title: 'Pages for the certificates wrong',
  message: (o) => `For a report request the guest gives pages for the certificates, but ${o.problem}.`,
  why: 'RAX has the address of the pages that take the certificate table, RBX their number. They are looked at only if the message asks for a report.',
  hint: 'Pass the address of shared pages, aligned to 4 KiB, in RAX and their number in RBX, and mark both valid.',
  reference: EXTENDED,
  confirmed: true,
});

export const EXT_REQ_DATA_V15 = defineFault<{ rax: string }>({
  check: 'kvm-ext-guest-req-data-v15',
  layer: 'kvm',
  command: 'EXT_GUEST_REQUEST',
  code: GENERIC,
  title: 'Address for the certificates not aligned',
  message: (o) => `RAX, the address for the certificates, is ${o.rax}, which is not aligned to 4 KiB.`,
  why: 'KVM hands the address to the VMM, which writes whole pages. As posted, the answer is VMM error 0x80000000, and its lower half is garbage of the kernel stack (here 0).',
  hint: 'Align the pages for the certificates to 4 KiB.',
  reference: 'KVM series v15, patch 19/20, snp_begin_ext_guest_req()',
  confirmed: true,
});

export const EXT_REQ_CERTIFICATES = defineFault<{ ret: number; pages: string; needed: string }>({
  check: 'kvm-ext-guest-req-certificates',
  layer: 'kvm',
  command: 'EXT_GUEST_REQUEST',
  code: { kind: 'ghcb', name: 'VMM error', value: 1 },
  title: 'VMM gave no certificates',
  message: (o) =>
    o.ret === 1
      ? `The certificates need ${o.needed} pages, but the guest gave ${o.pages}.`
      : `The VMM answered ${o.ret === 2 ? 'BUSY' : String(o.ret)} to the request for certificates.`,
  why: 'The VMM keeps the certificates of the platform. INVALID_LEN (1) tells the guest in RBX how many pages it needs; BUSY (2) to repeat exactly the same message later. The firmware has not seen the message.',
  hint: (o) => (o.ret === 1 ? `Give ${o.needed} pages.` : 'Repeat the same encrypted message.'),
  reference: 'KVM series v15, patch 19/20, snp_complete_ext_guest_req()',
  confirmed: true,
});
