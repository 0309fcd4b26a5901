import { gfn, gpa, hex, PAGE_SIZE, spaOf } from '../address.js';
import { snpLaunchUpdate } from '../asp/commands/snp-launch-update.js';
import { copyBytes, view } from '../bytes.js';
import { defineFault, makeFault } from '../fault.js';
import type { Machine } from '../machine.js';
import { filePage, type PageBytes } from '../memory/page-bytes.js';
import { writePage } from '../memory/system-memory.js';
import { errno } from '../spec/errno.js';
import { PAGE_TYPE, VMSA_GPA } from '../spec/page-type.js';
import { inFrame, type Op } from '../timeline/event.js';
import { DONE, describeIoctl, type IoctlResult, refuse } from './result.js';
import { rmpMakePrivate, snpReclaimAndShare } from './rmp-helpers.js';
import { sevIssueCmd } from './sev-issue-cmd.js';
import type { KvmVcpu, KvmVm } from './state.js';

const COMMAND = 'KVM_SEV_SNP_LAUNCH_FINISH';
const REFERENCE = 'Linux arch/x86/kvm/svm/sev.c snp_launch_update_vmsa()';

/** Offsets in the VMSA. Linux arch/x86/include/asm/svm.h `struct sev_es_save_area`. */
const VMSA_DR7 = 0x160;
const VMSA_SEV_FEATURES = 0x3b0;
const DR7_FIXED = 0x400n;

export const VMSA_DEBUG = defineFault<{ vcpu: number; dr7: string }>({
  check: 'kvm-vmsa-dr7',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EINVAL'),
  title: 'vCPU with breakpoints set',
  message: (o) => `DR7 of vCPU ${o.vcpu} is ${o.dr7}; it must be 0x400.`,
  why: 'KVM does not hand breakpoints over to an encrypted guest: it cannot change DR7 afterwards.',
  hint: 'Set DR7 to 0x400, and disable guest debugging.',
  reference: 'Linux arch/x86/kvm/svm/sev.c sev_es_sync_vmsa()',
  confirmed: true,
});

export const VMSA_FIRMWARE = defineFault<{ vcpu: number }>({
  check: 'kvm-vmsa-firmware',
  layer: 'kvm',
  command: COMMAND,
  code: errno('EIO'),
  title: 'SNP_LAUNCH_UPDATE of a VMSA failed',
  message: (o) => `The firmware refused the VMSA page of vCPU ${o.vcpu}.`,
  why: 'The initial registers of each vCPU are measured and encrypted like any other page.',
  hint: 'See the firmware’s own reason below.',
  reference: REFERENCE,
  confirmed: true,
});

export const FINISH_REPEATED = defineFault<{ vcpu: number }>({
  check: 'kvm-launch-finish-repeated',
  layer: 'kvm',
  command: COMMAND,
  code: { kind: 'exception', name: '#PF', value: 14 },
  title: 'LAUNCH_FINISH cannot be repeated',
  message: (o) =>
    `The VMSA page of vCPU ${o.vcpu} belongs to the guest since the first KVM_SEV_SNP_LAUNCH_FINISH, and KVM writes to it again.`,
  why: 'The first attempt measures and encrypts the VMSA of each vCPU before it looks at the ID block. If it fails after that the launch cannot be saved: a second attempt writes into pages that the RMP says are private, which raises a #PF in the host kernel.',
  hint: 'Destroy the VM and start again.',
  reference: REFERENCE,
  confirmed: false,
});

/** snp_launch_update_vmsa(): one VMSA page for each vCPU, in the order of creation. `sevFd`: of this call. */
export function* snpLaunchUpdateVmsa(machine: Machine, vm: KvmVm, sevFd: number): Op<IoctlResult> {
  for (const vcpu of vm.vcpus) {
    const result = yield* updateVmsa(machine, vm, vcpu, sevFd);
    if (result.fault) return result;
  }
  return DONE;
}

function updateVmsa(machine: Machine, vm: KvmVm, vcpu: KvmVcpu, sevFd: number): Op<IoctlResult> {
  const { vmsaPfn: pfn, index } = vcpu;
  if (pfn === undefined || vm.snpContext === undefined) throw new Error('VMSA update without page or context');
  const gctx = spaOf(vm.snpContext);
  const options = { args: { vcpu: index, pfn: hex(pfn) }, page: { gfn: gfn(VMSA_GPA / PAGE_SIZE), pfn } };
  return inFrame(
    machine.stack,
    'kvm',
    'snp_launch_update_vmsa',
    options,
    function* () {
      // What the kernel's #PF does to the caller is not confirmed; no caller can go on from it.
      if (vcpu.guestStateProtected) {
        return { ret: errno('EFAULT').value, fwError: 0, fault: makeFault(FINISH_REPEATED, { vcpu: index }) };
      }
      const dr7 = view(vcpu.vmsa).getBigUint64(VMSA_DR7, true);
      if (dr7 !== DR7_FIXED) return refuse(VMSA_DEBUG, { vcpu: index, dr7: hex(dr7) });
      writePage(machine.memory, pfn, sevEsSyncVmsa(vm, vcpu));
      const made = yield* rmpMakePrivate(machine, pfn, gpa(VMSA_GPA), vm.asid, true);
      if (made.fault) return made;
      const command = snpLaunchUpdate(machine, {
        gctx,
        page: spaOf(pfn),
        pageSize2M: false,
        pageType: PAGE_TYPE.VMSA,
        vmplMasks: [0, 0, 0],
        imiPage: false,
      });
      const launched = yield* sevIssueCmd(machine, sevFd, command, VMSA_FIRMWARE, { vcpu: index });
      if (launched.fault) {
        yield* snpReclaimAndShare(machine, pfn);
        return launched;
      }
      vcpu.guestStateProtected = true;
      return DONE;
    },
    describeIoctl,
  );
}

/** sev_es_sync_vmsa(): the registers as userspace set them, with the features of KVM_SEV_INIT2. */
function sevEsSyncVmsa(vm: KvmVm, vcpu: KvmVcpu): PageBytes {
  if (view(vcpu.vmsa).getBigUint64(VMSA_SEV_FEATURES, true) === vm.vmsaFeatures) return filePage(vcpu.vmsa, 0);
  const bytes = copyBytes(vcpu.vmsa);
  view(bytes).setBigUint64(VMSA_SEV_FEATURES, vm.vmsaFeatures, true);
  return { bytes, frozen: false };
}
