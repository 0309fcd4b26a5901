import { PAGE_SIZE } from '../address.js';
import { kvmWriteGuest } from '../kvm/mmu/kvm-read-guest.js';
import type { KvmExit } from '../kvm/run/kvm-exit.js';
import type { Op } from '../timeline/event.js';
import { report, type Vmm, vmOf } from './context.js';

type CertificatesExit = Extract<KvmExit, { reason: 'KVM_EXIT_VMGEXIT' }>;

/** kvm_user_vmgexit.req_certs: ret, flags, status. Series v15, patch 19/20, Documentation/virt/kvm/api.rst. */
const INVALID_LEN = 1;
const FAILED = 5;
const NOTIFY_DONE = 1;
const DONE = 1;

/**
 * KVM_USER_VMGEXIT_REQ_CERTS: the VMM writes its certificate table into the pages that the guest has set aside, or says
 * how many it needs. It asks to be told when the report is done: until then nobody may replace the certificates, lest
 * report and certificate are of different firmware. Without certificates the guest gets none.
 */
export function* provideCertificates(vmm: Vmm, exit: CertificatesExit): Op<void> {
  if (exit.status === DONE) {
    yield report(vmm, 'certificates: the report is done, and the lock is free again');
    return;
  }
  exit.ret = 0;
  const { certificates } = vmm.plan.vm;
  if (!certificates) return;
  const pages = Math.ceil(certificates.length / PAGE_SIZE);
  if (exit.dataNpages < pages) {
    yield report(vmm, `certificates: the guest has ${exit.dataNpages} pages for ${certificates.length} bytes`);
    exit.dataNpages = pages;
    exit.ret = INVALID_LEN;
    return;
  }
  const written = kvmWriteGuest(vmm.machine, vmOf(vmm), exit.dataGpa, certificates);
  exit.ret = written ? 0 : FAILED;
  exit.flags = written ? NOTIFY_DONE : 0;
  const text = `certificates: ${certificates.length} bytes at 0x${exit.dataGpa.toString(16)}`;
  yield report(vmm, written ? text : `${text} cannot be written`);
}
