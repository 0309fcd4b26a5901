import type { Hva } from '../address.js';
import { type Gfn, gfn, gpaOf, hex, PAGE_SIZE, type Pfn, spaOf } from '../address.js';
import { snpLaunchUpdate } from '../asp/commands/snp-launch-update.js';
import { defineFault, makeFault } from '../fault.js';
import type { Machine } from '../machine.js';
import { plainPage, writePage } from '../memory/system-memory.js';
import { readUserPage, type UserMemory, writeUser } from '../memory/user-memory.js';
import { errno } from '../spec/errno.js';
import { FIRMWARE_STATUS } from '../spec/firmware-status.js';
import { PAGE_TYPE, type PageType, pageTypeName } from '../spec/page-type.js';
import { inFrame, logEvent, type Op } from '../timeline/event.js';
import { isPrivate } from './ioctl/kvm-set-memory-attributes.js';
import { DONE, describeIoctl, type IoctlResult, refuse, refused } from './result.js';
import { rmpMakePrivate, snpLookupRmpentry, snpReclaimAndShare } from './rmp-helpers.js';
import { sevIssueCmd } from './sev-issue-cmd.js';
import type { KvmVm } from './state.js';

const COMMAND = 'sev_gmem_post_populate';
const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c sev_gmem_post_populate()';

export const PAGE_NO_SOURCE = defineFault<{ gpa: string; type: string }>({
  check: 'kvm-page-no-source',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Page without content',
  message: (o) => `The ${o.type} page at ${o.gpa} has no source: uaddr is 0.`,
  why: 'Every page type but ZERO copies its content from the VMM, also the types whose content the firmware fills in or does not measure.',
  hint: 'Give the page content, or use the type ZERO.',
  reference: REFERENCE,
  confirmed: true,
});

export const PAGE_NOT_PRIVATE = defineFault<{ gpa: string }>({
  check: 'kvm-page-not-private',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Page is not marked private',
  message: (o) => `The page at ${o.gpa} does not have KVM_MEMORY_ATTRIBUTE_PRIVATE.`,
  why: 'KVM keeps for each frame whether it is private or shared. Only a private frame uses the page in guest_memfd that is about to be encrypted.',
  hint: 'Mark the range with KVM_SET_MEMORY_ATTRIBUTES first.',
  reference: `${REFERENCE}; virt/kvm/guest_memfd.c kvm_gmem_populate() from 6.11 on`,
  confirmed: true,
});

export const PAGE_RMP_LOOKUP = defineFault<{ pfn: string }>({
  check: 'kvm-page-rmp-lookup',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'RMP entry of the page cannot be read',
  message: (o) => `The RMP entry of page frame ${o.pfn} cannot be read.`,
  why: 'KVM looks whether somebody owns the page before it writes to it: writing to an owned page would fault.',
  hint: 'See the reason below.',
  reference: REFERENCE,
  confirmed: true,
});

export const PAGE_ASSIGNED = defineFault<{ gpa: string; pfn: string; asid: number }>({
  check: 'kvm-page-assigned',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'Page belongs to a guest already',
  message: (o) => `Page frame ${o.pfn} for ${o.gpa} is assigned already, to ASID ${o.asid}.`,
  why: 'Writing to a page that the RMP says is private would raise a #PF in the kernel, and launching it twice would change what was measured.',
  hint: 'Launch each page once.',
  reference: REFERENCE,
  confirmed: true,
});

export const PAGE_COPY = defineFault<{ gpa: string; uaddr: string; notCopied: number }>({
  check: 'kvm-page-copy',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EFAULT'),
  title: 'Source of the page not readable',
  message: (o) => `${o.notCopied} of 4096 bytes at user address ${o.uaddr} for the page at ${o.gpa} cannot be read.`,
  why: 'KVM copies the content from the VMM’s memory. As posted in v15 it returned the number of missing bytes as if it were a number of pages, and so corrupted gfn_start and len of the request while reporting success; from 6.11 on it returns -EFAULT.',
  hint: 'Pass the address of mapped memory that is as long as the request.',
  reference: REFERENCE,
  confirmed: true,
});

export const PAGE_FIRMWARE = defineFault<{ gpa: string; pfn: string; type: string }>({
  check: 'kvm-page-firmware',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EIO'),
  title: 'SNP_LAUNCH_UPDATE failed',
  message: (o) => `The firmware refused the ${o.type} page at ${o.gpa} (page frame ${o.pfn}).`,
  why: 'The firmware encrypts the page, measures it and validates it. When it refuses KVM takes the page back; of a CPUID page it returns the content that would be accepted.',
  hint: 'See the firmware’s own reason below.',
  reference: REFERENCE,
  confirmed: true,
});

/** What all pages of one KVM_SEV_SNP_LAUNCH_UPDATE have in common. Linux `struct sev_gmem_populate_args`. */
export interface SevGmemPopulateArgs {
  readonly type: PageType;
  /** The descriptor of this very call, not the one of LAUNCH_START. */
  readonly sevFd: number;
}

/**
 * sev_gmem_post_populate() for one 4 KiB page: copy, RMPUPDATE to Pre-Guest, SNP_LAUNCH_UPDATE. `ret` is 0,
 * -errno or, with KVM v15, a positive number of bytes not copied.
 */
export function sevGmemPostPopulate(
  machine: Machine,
  vm: KvmVm,
  frame: Gfn,
  pfn: Pfn,
  source: number,
  populate: SevGmemPopulateArgs,
): Op<IoctlResult> {
  const { type } = populate;
  const args = { gfn: hex(frame), pfn: hex(pfn), type: pageTypeName(type) ?? type };
  const body = () => postPopulate(machine, vm, frame, pfn, source, populate);
  return inFrame(machine.stack, 'kvm', COMMAND, { args, page: { gfn: frame, pfn } }, body, describeIoctl);
}

function* postPopulate(
  machine: Machine,
  vm: KvmVm,
  frame: Gfn,
  pfn: Pfn,
  source: number,
  { type, sevFd }: SevGmemPopulateArgs,
): Op<IoctlResult> {
  const profile = machine.kvmProfile;
  const address = gpaOf(frame);
  if (source === 0 && type !== PAGE_TYPE.ZERO) {
    return refuse(PAGE_NO_SOURCE, { gpa: hex(address), type: pageTypeName(type) ?? String(type) });
  }
  if (!profile.attributeCheckInPopulate && !isPrivate(vm, frame, gfn(frame + 1))) {
    return refuse(PAGE_NOT_PRIVATE, { gpa: hex(address) });
  }
  const lookup = snpLookupRmpentry(machine, pfn);
  if (!lookup.ok) {
    return refused(makeFault(PAGE_RMP_LOOKUP, { pfn: hex(pfn) }, { cause: lookup.result.fault }));
  }
  if (lookup.assigned) {
    const operands = { gpa: hex(address), pfn: hex(pfn), asid: lookup.entry.asid };
    return refused(makeFault(PAGE_ASSIGNED, operands, { code: errno(profile.assignedErrno) }));
  }
  if (type !== PAGE_TYPE.ZERO) {
    const content = readUserPage(machine.user, source);
    if (!content) {
      const notCopied = PAGE_SIZE - readableBytes(machine.user, source);
      const failed = refuse(PAGE_COPY, { gpa: hex(address), uaddr: hex(source), notCopied });
      return profile.copyFaultReturnsCount ? { ...failed, ret: notCopied } : failed;
    }
    writePage(machine.memory, pfn, content);
  }
  const made = yield* rmpMakePrivate(machine, pfn, address, vm.asid, true);
  if (made.fault) return made;
  const launched = yield* launchPage(machine, vm, pfn, { type, sevFd }, hex(address));
  if (launched.ret === 0) return DONE;

  const stuck = yield* snpReclaimAndShare(machine, pfn);
  if (!stuck && type === PAGE_TYPE.CPUID && launched.fwError === FIRMWARE_STATUS.INVALID_PARAM) {
    const corrected = plainPage(machine.memory, pfn).content.bytes;
    if (!writeUser(machine.user, source as Hva, corrected)) {
      yield logEvent(machine.stack, 'kvm', 'Failed to write CPUID page back to userspace');
    }
  }
  return launched;
}

function launchPage(
  machine: Machine,
  vm: KvmVm,
  pfn: Pfn,
  { type, sevFd }: SevGmemPopulateArgs,
  gpa: string,
): Op<IoctlResult> {
  if (vm.snpContext === undefined) throw new Error('sev_gmem_post_populate without a guest context');
  const command = snpLaunchUpdate(machine, {
    gctx: spaOf(vm.snpContext),
    page: spaOf(pfn),
    pageSize2M: false,
    pageType: type,
    vmplMasks: NO_VMPL_MASKS,
    imiPage: false,
  });
  const operands = { gpa, pfn: hex(pfn), type: pageTypeName(type) ?? String(type) };
  return sevIssueCmd(machine, sevFd, command, PAGE_FIRMWARE, operands);
}

/** KVM gives VMPL1 to VMPL3 no access. */
const NO_VMPL_MASKS: [number, number, number] = [0, 0, 0];

/** How much of a page copy_from_user() would copy before it faults. */
function readableBytes(user: UserMemory, address: number): number {
  for (const { start, bytes, length = bytes.length } of user.mappings) {
    if (address >= start && address < start + length) return Math.min(PAGE_SIZE, start + length - address);
  }
  return 0;
}
